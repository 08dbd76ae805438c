"""Hostile files at the remaining entry points: search by image, the HTTP service, the Globe's uploads of
tables and labels, and weights on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.atlas import open_table
from core.atlas.labelling.reading import read_labels
from core.cli.entry import main
from core.engine.embedding.query import embed_like
from core.models.registry import cards
from core.service import door
from core.service.app import Settings
from core.service.client import ServiceError
from tests import hostile_files, hostile_labels, hostile_packs, hostile_tables
from tests.service.test_service import Service
from tests.test_hostile import bounded, refused
from tests.thorough import a_few
from ui.globe.panels.find_image import RECIPE
from ui.shell import jobs, opened_tables

IMAGERY, WEIGHTS = hostile_files.imagery(), hostile_files.weights()
TABLES, LABELS = hostile_tables.tables(), hostile_labels.labels()
CARD = cards()["mae_tiny"]
ROW = dict.fromkeys(RECIPE) | {
    "model": CARD.name,
    "checkpoint_sha256": CARD.weights.sha256 if CARD.weights else None,
    "pooling": "mean",
    "res_policy": "native_gsd",
    "image_size": 64,
    "gsd_m": 10.0,
}


def test_there_are_more_than_a_hundred_different_files() -> None:
    texts, packs = hostile_files.texts(), hostile_packs.packs()
    kinds = (IMAGERY, WEIGHTS, TABLES, LABELS, texts, packs)
    different = {content for kind in kinds for content in kind.values()}
    assert len(different) >= 250
    assert all(len(kind) >= 20 for kind in kinds)


@pytest.mark.parametrize("name", a_few(IMAGERY))
def test_search_by_image(name: str) -> None:
    refused(lambda: embed_like(dict(ROW), IMAGERY[name], 10.0))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    running = Service(Settings(token="a-token-of-some-length", names=door.LOOPBACK, max_mb=8, per_minute=0))
    yield running
    running.close()


@pytest.mark.parametrize("name", a_few(IMAGERY))
def test_the_http_service(name: str, service: Service) -> None:
    with bounded(), pytest.raises(ServiceError) as refusal:
        service.client.embed([IMAGERY[name]], gsd_m=10.0)
    assert refusal.value.status == 422
    message = str(refusal.value)
    assert message.endswith((".", ")"))
    assert "\n" not in message and "Traceback" not in message


@pytest.mark.parametrize("name", a_few(TABLES))
def test_the_globes_upload_of_tables(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JOBS", tmp_path)
    refused(
        lambda: (
            open_table(
                opened_tables.open_files(jobs.new_owner(), [(f"../{name[:20]}.parquet", TABLES[name])]).table
            ).stored
        )
    )
    assert not [path for path in tmp_path.rglob("*.parquet") if path.is_file()]


@pytest.mark.parametrize("name", a_few(LABELS, 8))
def test_labels(name: str, tmp_path: Path) -> None:
    """The Globe's upload, and the file that `core label` is given."""
    refused(lambda: read_labels(LABELS[name], f"../{name[:20]}.geojson"))
    path = tmp_path / "labels.geojson"
    path.write_bytes(LABELS[name])
    refused(lambda: read_labels(path))


@pytest.mark.parametrize("name", a_few(WEIGHTS))
def test_weights_on_the_command_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ("x.safetensors" if WEIGHTS[name][8:9] == b"{" else "x.pth")
    path.write_bytes(WEIGHTS[name])
    with bounded():
        assert main(["reconstruct", "globe", "--model", str(path), "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert len(message.splitlines()) == 1
