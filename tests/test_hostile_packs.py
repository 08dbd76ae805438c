"""Hostile zips, wherever zips are opened: packs of pictures, labelled sets, the Evaluate page, weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.cli.entry import main
from core.errors import ExplorerError
from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.data.storage import ImageStore
from core.geo import TileSpec, open_source
from core.models import load_checkpoint
from tests.hostile_packs import LINK, SECRET, bomb, lying, member, one, packs, zipped
from tests.test_hostile import bounded, refused
from tests.thorough import a_few

PACKS = packs()


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "pack.zip"
    file.write_bytes(PACKS[request.param])
    return file


every_pack = pytest.mark.parametrize("path", a_few(PACKS, 5), indirect=True)


@every_pack
def test_as_imagery(path: Path) -> None:
    def show() -> None:
        source = open_source(path, gsd_m=1.0)
        for key in source.keys():  # noqa: SIM118
            source.read(TileSpec(source.ref(key)))

    refused(show)


@every_pack
def test_as_a_labelled_set(path: Path) -> None:
    def read() -> None:
        found = open_set(DataSpec(str(path), gsd_m=1.0))
        for name in found.files:
            found.store.read(name)

    refused(read)


@every_pack
def test_on_the_evaluate_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui.evaluate import own_sets

    monkeypatch.setenv("EARTH_MAE_DATA", str(path.parent))
    with bounded():
        for protocol in ("knn", "segmentation"):
            for place in own_sets.own_sets(protocol).values():
                own_sets.states_gsd(place)


@every_pack
def test_as_weights(path: Path) -> None:
    refused(lambda: load_checkpoint(path.rename(path.with_suffix(".pth"))))


@pytest.mark.parametrize(
    "name", ["a link to a file", "700 MB of zeros said to be 10", "a member that leaves"]
)
def test_on_the_command_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pack.zip"
    file.write_bytes(PACKS[name])
    for command in (
        ["embed", str(file), "--out", str(tmp_path / "out"), "--model", "mae_tiny"],
        ["reconstruct", str(file), "--out", str(tmp_path / "out")],
        ["evaluate", str(file), "--model", "colour_histogram", "--gsd-m", "1"],
    ):
        with bounded():
            assert main(command) == 2
        message = capsys.readouterr().err
        assert "Traceback" not in message and "root:" not in message


def test_weights_whose_pickle_is_a_link_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "link.pth"
    file.write_bytes(
        zipped(member("archive/data.pkl", SECRET.encode(), mode=LINK), member("archive/version", b"3\n"))
    )
    refused(lambda: load_checkpoint(file))


def test_a_link_gives_its_own_text_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "pack.zip"
    file.write_bytes(one("a.png", SECRET.encode(), mode=LINK))
    assert ImageStore(file).read("a.png") == SECRET.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["pack.zip"]


@pytest.mark.thorough
def test_a_member_is_unpacked_to_its_stated_size_only(tmp_path: Path) -> None:
    file = tmp_path / "pack.zip"
    file.write_bytes(lying(bomb(size=1500 * 2**20), b"a.png", size=10))
    with bounded(), pytest.raises(ExplorerError, match="cannot be read"):
        ImageStore(file).read("a.png")


def test_links_in_a_folder_do_not_lead_out_of_it(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    shutil.copy(Path(__file__).parent / "globe_tables.py", outside / "secret.png")
    (inside / "a.png").symlink_to(outside / "secret.png")
    (inside / "b").symlink_to(outside, target_is_directory=True)
    with pytest.raises(ExplorerError, match="contains no GeoTIFF, PNG or JPEG"):
        open_source(inside)
