"""Hundreds of hostile files at every entry point: each is refused clearly, in little time and memory.

Tables and zips are in test_hostile_tables.py and test_hostile_packs.py.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.errors import ExplorerError
from tests import hostile_files
from tests.thorough import a_few

SECONDS, MEGABYTES = 20, 300
"""What one file may take on a loaded machine; the limits allow 12 s of processor time."""

ODD = hostile_files.odd_imagery()
WEIGHTS, IMAGERY, TEXTS, LINKS = (
    hostile_files.weights(),
    hostile_files.imagery(),
    hostile_files.texts(),
    list(hostile_files.links()),
)


@contextmanager
def bounded() -> Iterator[None]:
    """Assert that the block stays within the limits of time and memory."""
    here = psutil.Process()
    before, started, used = here.memory_info().rss, time.monotonic(), time.process_time()
    yield
    assert time.process_time() - used < 5, "this process used too much time"
    assert time.monotonic() - started < SECONDS * 3
    assert here.memory_info().rss - before < MEGABYTES * 2**20


def refused(door: Callable[[], Any]) -> None:
    """Assert that a call is refused with a clear error."""
    with bounded(), pytest.raises(ExplorerError) as refusal:
        door()
    message = str(refusal.value)
    assert message.endswith((".", ")"))
    assert 20 < len(message) < 600
    assert "\n" not in message
    assert "Traceback" not in message


def test_there_are_more_than_a_hundred() -> None:
    assert len(WEIGHTS) + len(IMAGERY) + len(TEXTS) >= 150
    contents = [*WEIGHTS.values(), *IMAGERY.values(), *TEXTS.values()]
    assert max(map(len, contents)) < 6_000_000


@pytest.mark.parametrize("name", a_few(WEIGHTS, 12))
def test_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload of weights; the command line and notebooks call the same function on the same bytes."""
    from core.models import load_checkpoint
    from ui.shell.session_store import SessionStore
    from ui.shell.weights import WeightsStore

    monkeypatch.chdir(tmp_path)
    store = WeightsStore(SessionStore(lambda session: True, clean_up_s=None))
    ending = ".safetensors" if WEIGHTS[name][8:9] == b"{" else ".pth"
    key = store.add("alice", io.BytesIO(WEIGHTS[name]), f"../../{name}\0{ending}", 2**30)
    refused(lambda: load_checkpoint(store.get(key).path))
    store.remove(key)
    assert not [path for path in tmp_path.rglob("*") if path.name == "x"]


@pytest.mark.parametrize("name", a_few(IMAGERY, 8))
def test_imagery_in_the_mask_lab(name: str) -> None:
    from core.geo import TileSpec, Uploads

    uploads = Uploads()

    def upload() -> None:
        ref = uploads.add(IMAGERY[name], f"../{name}.tif", gsd_m=1.0)
        uploads.read(TileSpec(ref))

    refused(upload)


@pytest.mark.parametrize("name", a_few(IMAGERY, 8))
def test_my_imagery(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored for a job and planned: files that are stored must be refused by the plan or by its tiles."""
    from core.engine.embedding.plan import make_plan
    from core.engine.embedding.spec import EmbeddingSpec
    from core.geo import TileSpec, open_source
    from ui.shell import jobs, uploads

    monkeypatch.setattr(jobs, "JOBS", tmp_path)

    def plan() -> None:
        path = uploads.store_upload("a" * 32, IMAGERY[name], f"../{name}.tif")
        assert tmp_path in path.parents
        make_plan(
            EmbeddingSpec((str(path),), str(tmp_path / "out"), "mae_tiny"), 64, most=200_000, untrusted=True
        )
        source = open_source(path, untrusted=True, gsd_m=1.0)
        source.read(TileSpec(source.ref()))

    refused(plan)


@pytest.mark.parametrize("name", a_few(IMAGERY, 8))
def test_imagery_on_the_command_line(name: str, tmp_path: Path) -> None:
    """The owner's own files are read in the process itself: cheap checks come before any pixel."""
    from core.geo import TileSpec, open_source

    path = tmp_path / "x.tif"
    path.write_bytes(IMAGERY[name])

    def show() -> None:
        source = open_source(path, gsd_m=1.0)
        source.read(TileSpec(source.ref()))

    refused(show)


@pytest.mark.parametrize("untrusted", [True, False], ids=["upload", "command line"])
@pytest.mark.parametrize("name", a_few(ODD))
def test_odd_imagery_is_shown_or_refused(name: str, untrusted: bool, tmp_path: Path) -> None:
    from core.geo import Tile, TileSpec, open_source

    path = tmp_path / "x.tif"
    path.write_bytes(ODD[name])
    with bounded():
        try:
            source = open_source(path, gsd_m=1.0, untrusted=untrusted)
            assert isinstance(source.read(TileSpec(source.ref())), Tile)
        except ExplorerError as refusal:
            assert str(refusal).endswith(".")


@pytest.mark.parametrize("name", a_few(TEXTS))
def test_recipes_and_specs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.engine.training.runs import parse_spec, read_spec
    from core.evaluation.recipes import read_recipe
    from ui.evaluate import evaluations

    refused(lambda: evaluations.read_recipe_upload(name, TEXTS[name]))
    path = tmp_path / name
    path.write_bytes(TEXTS[name])
    refused(lambda: read_recipe(path))
    if name.endswith(".toml"):
        refused(lambda: read_spec(path))
        refused(lambda: parse_spec(TEXTS[name].decode(errors="replace")))


def test_links() -> None:
    from core.session import view_from_json, view_from_params

    with bounded():
        for link in LINKS:
            for restored in (
                view_from_params(link, _default(), models={"mae_tiny"}, sources={"globe"}),
                view_from_json(json.dumps(link), _default()),
            ):
                assert all(len(sentence) < 600 for sentence in restored.ignored)


def _default() -> Any:
    from core.geo import TileRef, TileSpec
    from core.masking import MaskSpec
    from core.policy import Policy
    from core.session import PageView

    return PageView(
        "mae_tiny",
        "",
        TileSpec(TileRef("globe", "blue_marble"), lonlat=(10.0, 45.0)),
        Policy("native_gsd"),
        MaskSpec(),
    )
