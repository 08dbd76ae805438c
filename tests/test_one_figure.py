"""A view gives the same PNG bytes from the page, a link, a notebook cell, the command and Python."""

import io
import random
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.cli.entry import main
from core.engine.loaded import load
from core.export import figure, pictures_zip, reconstruct_view
from core.geo import TileRef, TileSpec
from core.masking import MaskSpec
from core.policy import Policy
from core.session import PageView, view_from_json, view_from_params
from tests.thorough import a_few
from ui.shell import cached

PLACES = (
    TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224)),
    TileSpec(TileRef("samples", "landsat"), lonlat=(-112.6, 40.8), gsd_m=90.0),
    TileSpec(TileRef("samples", "bahamas_rgb"), lonlat=(-77.3, 24.5), gsd_m=400.0),
    TileSpec(TileRef("globe", "blue_marble"), lonlat=(10.0, 45.5), gsd_m=8000.0),
    TileSpec(TileRef("globe", "blue_marble"), lonlat=(-60.0, -3.0), gsd_m=9000.0, size_px=64),
)
DEFAULT = PageView("mae_tiny", "", TileSpec(TileRef("samples", "landsat")), Policy("log_gsd"), MaskSpec())


def random_view(seed: int) -> PageView:
    """Draw a view: any place, bundled network with a decoder, policy and mask."""
    draw = random.Random(seed)
    kind = draw.choice(("random", "block", "blob", "stripes", "checkerboard"))
    mask = MaskSpec(kind, ratio=draw.randint(20, 90) / 100, seed=draw.randint(0, 999))
    if draw.random() < 0.2:
        mask = MaskSpec("cells", cells=tuple(sorted(draw.sample(range(64), 20))), painted_on=(8, 8))
    policy = draw.choice((Policy("log_gsd"), Policy("native_gsd"), Policy("manual", 2.5)))
    model = draw.choice(("scale_mae_tiny", "mae_tiny", "sdmae_tiny"))
    return PageView(model, "", draw.choice(PLACES), policy, mask)


def pictures(archive: bytes) -> dict[str, bytes]:
    """Read the PNG files of a zip."""
    with zipfile.ZipFile(io.BytesIO(archive)) as held:
        return {name: held.read(name) for name in held.namelist() if name.endswith(".png")}


def compare(view: PageView, folder: Path, threads: int) -> None:
    """Assert that all ways give the same panels and the same figure."""
    torch.set_num_threads(threads)
    on_page = cached.exported(view, "a test")
    panels, printed = pictures(pictures_zip(*on_page)), figure(*on_page)
    assert len(panels) in (6, 7)

    torch.set_num_threads(3 - threads)
    linked = view_from_params(view.to_params(), DEFAULT).view
    assert linked == view_from_json(view.to_json(), DEFAULT).view == view
    in_python = reconstruct_view(linked, load(view.model))
    assert pictures(pictures_zip(*in_python)) == panels
    assert figure(*in_python) == printed

    cell: dict[str, Any] = {}
    exec(compile(view.to_python(), "cell", "exec"), cell)
    assert cell["picture"] == printed

    words = shlex.split(view.to_command())[3:]
    assert main([*words, "--out", str(folder)]) == 0
    written = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    assert written.pop("figure.png") == printed
    assert written == panels


@pytest.fixture
def threads_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("seed", a_few([3, 5, 9], 1))  # each network with a decoder; 9 is a painted mask
def test_three_views_give_the_same_bytes_every_way(seed, tmp_path, threads_restored):
    compare(random_view(seed), tmp_path, threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_twenty_random_views_give_the_same_bytes_every_way(seed, tmp_path, threads_restored):
    compare(random_view(seed), tmp_path, threads=1 + seed % 2)


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_process_of_its_own_writes_the_same_bytes(threads, tmp_path, monkeypatch):
    view = replace(random_view(5), model="scale_mae_tiny")
    command = [sys.executable, *shlex.split(view.to_command())[1:], "--out", str(tmp_path)]
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[1])
    made = reconstruct_view(view)
    assert (tmp_path / "figure.png").read_bytes() == figure(*made)
    assert (tmp_path / "combined.png").read_bytes() == pictures(pictures_zip(*made))["combined.png"]
