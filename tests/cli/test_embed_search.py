"""The verbs embed and search, as a person types them."""

import json

import numpy as np
import pytest
import rasterio
from PIL import Image

from core.atlas import open_table
from core.cli.entry import main
from tests.waves import waves, write_raster


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    return write_raster(path, waves(128, 160))


@pytest.fixture(scope="module")
def table(scene):
    out = scene.parent / "table"
    assert (
        main(
            [
                "embed",
                str(scene),
                "--out",
                str(out),
                "--model",
                "mae_tiny",
                "--tile-px",
                "32",
                "--batch",
                "8",
                "--resume",
            ]
        )
        == 0
    )
    return out


def asked(capsys, *words):
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_embed_prints_one_json_object(scene, tmp_path, capsys):
    code, out, err = asked(
        capsys,
        "embed",
        str(scene),
        "--out",
        str(tmp_path / "t"),
        "--model",
        "mae_tiny",
        "--tile-px",
        "32",
        "--json",
    )
    found = json.loads(out)
    assert (code, found["total"], found["embedded"], found["finished"]) == (0, 20, 20, True)
    assert "20 tiles over" in err


def test_several_models_write_a_table_each(scene, tmp_path, capsys):
    words = (
        "embed",
        str(scene),
        "--out",
        str(tmp_path / "t"),
        "--model",
        "mae_tiny",
        "sdmae_tiny",
        "--tile-px",
        "32",
        "--gsd-m",
        "10,20",
    )
    code, out, err = asked(capsys, *words, "--json")
    found = json.loads(out)
    assert (code, found["models"], found["embedded"]) == (0, ["mae_tiny", "sdmae_tiny"], 2 * (20 + 6))
    assert "52 tiles over" in err
    for folder, model in zip(found["tables"], found["models"], strict=True):
        code, out, _ = asked(capsys, "search", folder, "--row", "3", "--where", "gsd_m = 20", "--json")
        assert (code, len(json.loads(out)["neighbors"])) == (0, 6)
        assert model in folder
    code, _, err = asked(capsys, "search", str(tmp_path / "t"), "--row", "3")
    assert code == 2
    assert "t holds 2 tables, one for each model: open one of t/mae_tiny, t/sdmae_tiny" in err
    code, _, err = asked(capsys, *words, "--patches")
    assert code == 2
    assert "one model" in err


def test_search_by_row_place_and_picture(table, scene, capsys):
    code, out, _ = asked(capsys, "search", str(table), "--row", "3", "--k", "4", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["query"]["row"] == 3
    assert len(found["neighbors"]) == 4
    assert all(n["row"] != 3 for n in found["neighbors"])
    cosines = [n["similarity"] for n in found["neighbors"]]
    assert cosines == sorted(cosines, reverse=True)
    _, by_id, _ = asked(
        capsys, "search", str(table), "--row", found["query"]["unique_id"], "--k", "4", "--json"
    )
    assert json.loads(by_id)["neighbors"] == found["neighbors"]
    lon, lat = found["query"]["centre_lon"], found["query"]["centre_lat"]
    assert lon < 0  # an argument that begins with a minus
    _, by_place, _ = asked(capsys, "search", str(table), "--lonlat", f"{lon},{lat}", "--k", "4", "--json")
    assert json.loads(by_place)["neighbors"] == found["neighbors"]
    code, by_picture, _ = asked(capsys, "search", str(table), "--image", str(scene), "--json")
    assert code == 0
    assert len(json.loads(by_picture)["neighbors"]) == 10


def test_the_index_finds_what_the_exact_search_finds(table, capsys):
    words = ("search", str(table), "--row", "3", "--minus", "7", "--k", "5", "--json")
    _, exact, _ = asked(capsys, *words)
    code, by_index, err = asked(capsys, *words, "--index")
    assert code == 0 and "index" in err
    exact, found = (json.loads(answer)["neighbors"] for answer in (exact, by_index))
    assert [one["row"] for one in found] == [one["row"] for one in exact]
    assert [one["similarity"] for one in found] == pytest.approx(
        [one["similarity"] for one in exact], abs=1e-5
    )
    code, _, err = asked(capsys, *words, "--index", "--where", "gsd_m > 1")
    assert code == 2 and "--where" in err


def test_a_picture_of_a_tile_finds_that_tile(table, scene, tmp_path, capsys):
    with rasterio.open(scene) as file:
        window = rasterio.windows.Window(64, 32, 32, 32)
        profile = file.profile | {"width": 32, "height": 32, "transform": file.window_transform(window)}
        with rasterio.open(tmp_path / "tile.tif", "w", **profile) as tile:
            tile.write(file.read(window=window))
    _, out, _ = asked(
        capsys, "search", str(table), "--image", str(tmp_path / "tile.tif"), "--k", "1", "--json"
    )
    best = json.loads(out)["neighbors"][0]
    assert best["pixel_bbox"] == [64, 32, 96, 64]
    assert best["similarity"] > 0.9999


def test_search_prints_a_readable_list(table, capsys):
    code, out, err = asked(
        capsys,
        "search",
        str(table),
        "--row",
        "3",
        "--minus",
        "7",
        "--where",
        "centre_lat < 90",
        "--k",
        "99",
    )
    assert code == 0
    assert "instead of 99" in err
    assert out.splitlines()[0].split() == ["row", "cosine", "longitude", "latitude", "what"]
    assert "scene.tif" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--row", "nobody"], "There is no row"), (["--lonlat", "north"], "longitude and latitude"),
        (["--row", "3", "--k", "0"], "1 or more"),
        (["--row", "3", "--where", "x = 1"], "does not have"), (["--image", "missing.tif"], "no file"),
        (["--row", "3", "--minus", "x"], "There is no row"),
    ],
)  # fmt: skip
def test_invalid_queries_are_reported(table, capsys, words, sentence):
    code, out, err = asked(capsys, "search", str(table), *words)
    assert (code, out) == (2, "")
    assert sentence in err


def test_a_search_by_image_refuses_a_folder(table, tmp_path, capsys):
    for name in "ab":
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / f"{name}.png")
    code, _, err = asked(capsys, "search", str(table), "--image", str(tmp_path))
    assert code == 2
    assert "holds 2 pictures: name one of them" in err


def test_embed_refuses_invalid_input(table, scene, tmp_path, capsys):
    for words, sentence in (
        ([str(scene), "--out", str(table)], "add --resume"),
        ([str(scene), "--out", str(tmp_path / "t"), "--gsd-m", "a"], "--gsd-m must be"),
        ([str(scene), "--out", str(tmp_path / "t"), "--min-valid", "2"], "between 0 and 1"),
        (["missing.tif", "--out", str(tmp_path / "t")], "no file"),
        ([str(scene), "--out", str(tmp_path / "t"), "--model", "none"], "no model"),
        (["globe", "--out", str(tmp_path / "t"), "--gsd-m", "100000", "--stated-gsd-m", "-1"],
        "A GSD of -1 m is invalid"),
    ):  # fmt: skip
        model = [] if "--model" in words else ["--model", "mae_tiny"]
        code, _, err = asked(capsys, "embed", *words, *model)
        assert code == 2
        assert sentence in err


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "gsd_m": (0.1, 7400.0),
            "tile_px": 64,
            "stride_px": 3,
            "policy": "manual-4.5",
            "pooling": "mean",
            "data_type": "int8",
            "losses": True,
        },
        {
            "min_valid": 0.0,
            "stated_gsd_m": 0.3,
            "batch": 2,
            "online": True,
            "only": ("a picture, with spaces.tif", "-b"),
        },
        {"losses": True, "mask_ratio": 0.4, "mask_seed": 7, "most": 5},
    ],
)
def test_a_spec_written_as_a_command_line_is_read_back(more):
    from core.cli.entry import build_parser
    from core.cli.verbs.embed import arguments, spec_of
    from core.engine.embedding.spec import EmbeddingSpec

    spec = EmbeddingSpec(("samples", "-odd name.tif"), "tables/x", "mae_tiny", **more)
    args = build_parser().parse_args(arguments(spec))
    assert spec_of(args) == spec
    assert args.model == ["mae_tiny"]
    assert build_parser().parse_args(arguments(spec, models=["mae_tiny", "a file.pth"])).model == [
        "mae_tiny",
        "a file.pth",
    ]


def test_a_run_is_read_from_a_file_with_every_setting(scene, tmp_path, capsys):
    from dataclasses import asdict

    from core.cli.entry import build_parser
    from core.cli.verbs.embed import request_of
    from core.engine.embedding.spec import EmbeddingSpec

    spec = EmbeddingSpec(
        (str(scene),), str(tmp_path / "table"), "mae_tiny", losses=True, mask_ratio=0.4, mask_seed=7, most=2,
        shard_tiles=9
    )  # fmt: skip
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"title": "mine", "spec": asdict(spec), "models": ["mae_tiny"]}))
    request = request_of(build_parser().parse_args(["embed", "--spec", str(file)]))
    assert (request.spec, request.models) == (spec, ("mae_tiny",))
    code, out, _ = asked(capsys, "embed", "--spec", str(file), "--json")
    assert code == 0
    assert json.loads(out)["total"] == 2
    rows = open_table(tmp_path / "table").columns
    assert set(rows["mask_seed"].to_pylist()) == {7}
    assert rows["mask_ratio"].to_pylist() == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        ("{", [], "not valid JSON"),
        ("[]", [], "a JSON object"),
        ('{"spec": {"sources": ["a"], "out": "b"}}', [], "lacks the field 'model'"),
        ('{"spec": {"sources": "a", "out": "b", "model": "c"}}', [], "'sources' must be"),
        ('{"spec": {"sources": ["a"], "out": "b", "model": "c", "batch": true}}', [], "'batch' must be"),
        ('{"spec": {"sources": ["a"], "out": "b", "model": "c", "speed": 1}}', [], "no field 'speed'"),
        ('{"spec": {"sources": ["a"], "out": "b", "model": "c"}}', ["--tile-px", "32"], "leave out tile-px"),
    ],
)
def test_an_invalid_spec_file_is_refused(tmp_path, capsys, text, more, sentence):
    (tmp_path / "run.json").write_text(text)
    code, _, err = asked(capsys, "embed", "--spec", str(tmp_path / "run.json"), *more)
    assert code == 2
    assert sentence in err


def test_one_picture_of_a_folder_can_be_selected(scene, tmp_path, capsys):
    (tmp_path / "two").mkdir()
    for name in ("a.tif", "b.tif"):
        (tmp_path / "two" / name).write_bytes(scene.read_bytes())
    words = (
        "embed",
        str(tmp_path / "two"),
        "--out",
        str(tmp_path / "t"),
        "--model",
        "mae_tiny",
        "--tile-px",
        "32",
        "--only",
        "b.tif",
        "--json",
    )
    code, out, _ = asked(capsys, *words)
    assert (code, json.loads(out)["total"]) == (0, 20)


def test_the_plan_of_a_finished_run_is_shown_once(scene, table, capsys):
    words = (
        "embed",
        str(scene),
        "--out",
        str(table),
        "--model",
        "mae_tiny",
        "--tile-px",
        "32",
        "--batch",
        "8",
        "--resume",
    )
    code, _, err = asked(capsys, *words)
    assert (code, err.count("20 tiles over")) == (0, 1)
    assert "20 of 20 tiles" in err


def test_index_and_exact_search_print_the_same_messages(table, capsys):
    for k, sentence in (
        ("0", "must be 1 or more"),
        ("99", "only 19 rows to search, so 19 are shown instead of 99"),
    ):
        for way in ((), ("--index",)):
            code, _, err = asked(capsys, "search", str(table), "--row", "3", "--k", k, *way)
            assert (code, sentence in err) == (2 if k == "0" else 0, True), (k, way, err)


@pytest.fixture(scope="module")
def mixed(scene):
    out = scene.parent / "mixed"
    words = [
        "embed",
        str(scene),
        "--out",
        str(out),
        "--model",
        "mae_tiny",
        "sdmae_tiny",
        "--tile-px",
        "32",
        "--gsd-m",
        "10,20",
    ]
    assert main(words) == 0
    return str(out / "mae_tiny"), str(out / "sdmae_tiny")


def test_a_filter_on_the_model_makes_tables_comparable(mixed, scene, capsys):
    code, _, err = asked(capsys, "search", *mixed, "--row", "1")
    assert code == 2 and "filter on model" in err
    row, last = 1, str(2 * 26 - 1)
    here = ("--where", "model = 'mae_tiny'", "--json")
    code, out, _ = asked(capsys, "search", *mixed, "--row", str(row), *here)
    _, alone, _ = asked(capsys, "search", mixed[0], "--row", str(row), "--json")
    assert code == 0
    assert json.loads(out)["neighbors"] == json.loads(alone)["neighbors"]
    code, _, err = asked(capsys, "search", *mixed, "--row", last, *here)
    assert code == 2 and "filter on model" in err, "the row itself is of the other model"
    code, out, _ = asked(
        capsys, "search", *mixed, "--lonlat=-123,36.14", "--where", "model = 'sdmae_tiny'", "--json"
    )
    assert code == 0 and json.loads(out)["query"]["row"] >= 26
    code, out, _ = asked(
        capsys, "search", *mixed, "--image", str(scene), "--where", "model = 'sdmae_tiny'", "--json"
    )
    assert code == 0 and json.loads(out)["neighbors"][0]["row"] >= 26


def test_a_place_far_from_the_table_is_reported(table, capsys):
    _, out, _ = asked(capsys, "search", str(table), "--row", "3", "--json")
    lon, lat = (json.loads(out)["query"][f"centre_{what}"] for what in ("lon", "lat"))
    code, out, err = asked(capsys, "search", str(table), f"--lonlat={lon},{lat + 0.001}", "--json")
    assert code == 0 and "111 m from that place, inside its tile" in err
    assert json.loads(out)["query"]["distance_km"] == pytest.approx(0.111, abs=0.001)
    code, out, err = asked(capsys, "search", str(table), "--lonlat=15,45", "--json")
    assert code == 0 and "does not cover that place" in err
    from pyproj import Geod

    found = json.loads(out)["query"]
    there_m = Geod(ellps="WGS84").inv(15, 45, found["centre_lon"], found["centre_lat"])[2]
    assert found["distance_km"] == pytest.approx(there_m / 1000, rel=0.005)


def test_several_rows_are_searched_together(table, capsys):
    from core.atlas.search.neighbors import more_like

    code, out, _ = asked(
        capsys,
        "search",
        str(table),
        "--row",
        "3",
        "--row",
        "8",
        "--minus",
        "7",
        "--minus",
        "1",
        "--k",
        "5",
        "--json",
    )
    found = json.loads(out)
    assert code == 0
    assert [one["row"] for one in found["query"]["rows"]] == [3, 8]
    assert [one["row"] for one in found["neighbors"]] == more_like(
        open_table(table), [3, 8], [7, 1], 5
    ).rows.tolist()


def test_a_picture_without_scale_takes_the_most_frequent_one(mixed, tmp_path, capsys, monkeypatch):
    from PIL import Image

    from core.engine.embedding import query

    asked_for = []
    monkeypatch.setattr(
        query,
        "embed_like",
        lambda like, file, gsd_m: asked_for.append(like["gsd_m"]) or np.ones(192, np.float32),
    )
    Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save(tmp_path / "a.png")
    words = ("search", mixed[0], "--image", str(tmp_path / "a.png"))
    code, _, err = asked(capsys, *words)
    assert code == 0 and "the most frequent one, 10 m" in err
    code, _, err = asked(capsys, *words, "--where", "gsd_m = 20")
    assert code == 0 and "most frequent" not in err
    assert asked_for == [10.0, 20.0]
