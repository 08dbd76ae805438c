"""The verbs scenes, embed and reconstruct against a STAC API and a COG server on this machine."""

import json
from pathlib import Path

import pytest

from core.atlas import open_table
from core.cli.entry import main
from core.geo import TileRef, TileSpec, known_sources
from core.net.online import SWITCH

SMALL = ("--model", "mae_tiny", "--tile-px", "32")


def asked(capsys, *words):
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_scenes_are_listed_as_sources_of_other_verbs(server, monkeypatch, capsys):
    monkeypatch.delenv(SWITCH)
    where = ("scenes", "--at=-112.7,40.8", "--from", "2024-05-01", "--to", "2024-08-31")
    code, out, err = asked(capsys, *where)
    assert (code, out) == (2, "")
    assert "online access is off" in err
    assert not server.service.sent
    code, out, _ = asked(capsys, *where, "--online")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["2024-06-11", "1.5"],
        ["2024-07-01", "12.0"],
    ]
    assert f"stac:{server.base}/items/clear.json" in out
    _, out, _ = asked(capsys, *where, "--online", "--json", "--most", "1", "--cloud", "100")
    assert [scene["id"] for scene in json.loads(out)["scenes"]] == ["clear"]
    code, _, err = asked(capsys, "scenes", "--at=0,0", "--online")
    assert (code, "widen the dates" in err) == (2, True)
    assert asked(capsys, "scenes", "--at=here", "--online")[0] == 2


@pytest.mark.parametrize(
    "named", ["{}/cog/visual.tif", "{}/signed/visual.tif?sig=good", "stac:{}/items/clear.json"]
)
def test_a_remote_scene_becomes_a_table(server, monkeypatch, tmp_path, capsys, named):
    monkeypatch.delenv(SWITCH)
    words = (
        "embed",
        named.format(server.base),
        "--gsd-m",
        "480",
        "--out",
        str(tmp_path / "t"),
        "--json",
        *SMALL,
    )
    code, _, err = asked(capsys, *words)
    assert (code, "online access is off" in err) == (2, True)
    code, out, err = asked(capsys, *words, "--online")
    assert code == 0, err
    assert json.loads(out)["finished"]
    table = open_table(tmp_path / "t")
    row = {name: table.columns[name][0].as_py() for name in ("source", "product_id", "gsd_m", "timestamp")}
    assert row["source"] == "online"
    assert row["product_id"].startswith(server.base) and row["product_id"].endswith("visual.tif")
    assert row["gsd_m"] == pytest.approx(480)
    assert (row["timestamp"] is not None) == named.startswith("stac:")
    assert not any(b"sig=" in file.read_bytes() for file in (tmp_path / "t").rglob("*") if file.is_file())
    assert server.bytes_sent() < 0.1 * len(server.service.files["visual.tif"])


def test_a_row_of_such_a_table_finds_its_ground_again(server, tmp_path, capsys):
    assert (
        asked(
            capsys,
            "embed",
            f"{server.base}/cog/visual.tif",
            "--gsd-m",
            "480",
            "--out",
            str(tmp_path / "t"),
            *SMALL,
        )[0]
        == 0
    )
    table = open_table(tmp_path / "t")
    left, top, right, bottom = table.columns["pixel_bbox"][0].as_py()
    ref = TileRef(table.columns["source"][0].as_py(), table.columns["product_id"][0].as_py())
    tile = known_sources().read(TileSpec(ref, window=(left, top, right - left, bottom - top), size_px=32))
    assert tile.gsd == pytest.approx(520, rel=0.1)  # square on the ground, so longer in degrees of longitude
    assert tile.footprint.centre == pytest.approx(table.lonlat[0], abs=1e-3)


def test_an_embedding_run_stops_at_an_expired_link_and_resumes_with_a_new_one(server, tmp_path, capsys):
    words = ("--gsd-m", "120", "--out", str(tmp_path / "t"), *SMALL)
    code, _, err = asked(capsys, "embed", f"{server.base}/fails-later/visual.tif", *words)
    assert (code, "search the catalogue again" in err) == (2, True)
    server.service.expired = False
    code, _, err = asked(
        capsys, "embed", f"{server.base}/fails-later/visual.tif?sig=fresh", *words, "--resume"
    )
    assert code == 0, err
    assert len(open_table(tmp_path / "t")) > 50


@pytest.mark.parametrize("named", ["{}/cog/visual.tif", "stac:{}/items/clear.json"])
def test_a_remote_place_is_reconstructed(server, monkeypatch, capsys, tmp_path, named):
    monkeypatch.delenv(SWITCH)
    words = (
        "reconstruct",
        named.format(server.base),
        "--at=-112.7,40.8",
        "--gsd-m",
        "30",
        "--model",
        "mae_tiny",
        "--json",
        "--size-px",
        "64",
    )
    code, _, err = asked(capsys, *words)
    assert (code, "online access is off" in err) == (2, True)
    code, out, err = asked(capsys, *words, "--online", "--out", str(tmp_path / "o"))
    assert code == 0, err
    assert json.loads(out)["recipe"]["gsd_m"] == pytest.approx([30, 30], rel=0.01)
    assert any(Path(tmp_path / "o").iterdir())
    assert server.bytes_sent() < 0.1 * len(server.service.files["visual.tif"])


def test_scenes_of_two_dates_are_compared(server, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(SWITCH)
    scenes = (f"stac:{server.base}/items/clear.json", f"{server.base}/cog/changed.tif")
    words = ("change", *scenes, "--gsd-m", "480", "--out", str(tmp_path / "c"), "--json", *SMALL)
    code, out, err = asked(capsys, *words)
    assert (code, out, "online access is off" in err) == (2, "", True)
    assert not server.service.sent and not (tmp_path / "c").exists()
    code, out, err = asked(capsys, *words, "--online")
    assert code == 0, err
    found = json.loads(out)
    before = open_table(tmp_path / "c" / "before")
    assert found["places"] == len(before) and str(before.columns["timestamp"][0]).startswith("2024-06-11")
    first = found["most_changed"][0]
    assert first["score"] > 10 * max(found["median_score"], 1e-6)
    middle = (-112.715, 40.806)  # of the noise, which is 0.13 degrees wide and lies in tiles of 0.18
    assert (first["lon"], first["lat"]) == pytest.approx(middle, abs=(0.13 + 0.18) / 2)
    code, _, err = asked(capsys, "change", *scenes, "--online")
    assert code == 2 and "--out DIR" in err
