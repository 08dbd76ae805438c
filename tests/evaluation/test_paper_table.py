"""Table 1 of the Scale-MAE paper: only test images are scaled; one command runs from published layouts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.cli.entry import main
from core.evaluation.cache import Cache
from core.evaluation.comparing import compare_results
from core.evaluation.data.datasets import DataSpec, find_set, open_set
from core.evaluation.data.images import area_resize, centred_square, read_picture
from core.evaluation.data.published import published_set
from core.evaluation.errors import LabelledSetError, RecipeError
from core.evaluation.paper import SCALE_MAE_KNN
from core.evaluation.plan import EvaluationPlan
from core.evaluation.protocols.knn import weighted_knn
from core.evaluation.recipes import recipe_from
from core.evaluation.rerun import plan_of
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from tests.evaluation.conftest import CLASSES, picture

LAYOUTS = {
    "resisc45": "NWPU-RESISC45/{c}/{c}_{n:03d}.jpg",
    "whu_rs19": "WHU-RS19/{c}/{c}_{n:02d}.jpg",
    "ucmerced": "UCMerced_LandUse/Images/{c}/{c}{n:02d}.tif",
    "eurosat": "EuroSAT/2750/{c}/{c}_{n}.jpg",
    "airound": "AiRound/aerial/{c}/{c}_{n:05d}.png",
    "cvbrct": "CV-BrCT/aerial/{c}/{c}_{n:05d}.png",
    "mlrsnet": "MLRSNet/Images/{c}/{c}_{n:05d}.jpg",
    "optimal31": "OPTIMAL-31/Images/{c}/{c}{n}.jpg",
}
IMAGES = 6


def results(plan, subjects, **options):
    return [e for e in evaluate(plan, subjects, folders=(), **options) if isinstance(e, Result)]


@pytest.fixture
def published_trees(tmp_path: Path) -> Path:
    """A data folder with every set of the table in its published layout, beside labels and other views."""
    root = tmp_path / "data"
    for layout in LAYOUTS.values():
        for kind, name in enumerate(CLASSES[:2]):
            for number in range(IMAGES):
                path = root / layout.format(c=name, n=number)
                path.parent.mkdir(parents=True, exist_ok=True)
                picture(kind, number).save(path)
    (root / "MLRSNet" / "labels").mkdir()
    (root / "MLRSNet" / "labels" / "Forest.csv").write_text("image,trees\n")
    for view in ("AiRound/ground/Forest", "CV-BrCT/street/Forest"):
        (root / view).mkdir(parents=True)
        picture(0, 0).save(root / view / "Forest_1.jpg")
    return root


def test_only_test_images_are_scaled(index_zip, network):
    plan = EvaluationPlan(protocol="sweep", data=(str(index_zip),), scales=(0.5,))
    found = results(plan, [network])[0]
    recipe, data = found.recipe, open_set(DataSpec(str(index_zip)), ())
    assert (recipe.gallery, recipe.gallery_px, recipe.gallery_res) == ("native", 32, 2.0)
    assert (recipe.size_px, recipe.res) == (16, 4.0)

    def vectors(split, side, res):
        images = np.stack(
            [
                area_resize(centred_square(read_picture(data.store, data.files[r])), side)
                for r in data.rows(split)
            ]
        )
        return network.embed(images, np.full(len(images), res), "cls"), data.labels[data.rows(split)]

    (gallery, labels), (queries, truth) = vectors("train", 32, 2.0), vectors("test", 16, 4.0)
    predicted = weighted_knn(gallery, labels, queries).labels
    assert found.value == pytest.approx((predicted == truth).mean())
    network.res_seen.clear()
    results(replace(plan, gallery="scaled"), [network])
    assert network.res_seen == {4.0}


def test_a_scale_series_embeds_the_gallery_once(index_zip, network, tmp_path):
    plan = EvaluationPlan(protocol="sweep", data=(str(index_zip),), scales=(0.25, 0.5, 1.0))
    found = results(plan, [network], cache=Cache(tmp_path))
    assert network.embedded == 24 + 3 * 12
    assert [r.recipe.gallery for r in found] == ["native", "native", None]
    assert [r.details["gallery"] for r in found] == [24, 24, 24]
    scaled = results(replace(plan, gallery="scaled"), [network], cache=Cache(tmp_path))
    assert network.embedded == 24 + 3 * 12 + 2 * 24
    assert scaled[2] == found[2]
    again = results(plan, [network], cache=Cache(tmp_path))
    assert again == found and network.embedded == 24 + 3 * 12 + 2 * 24


def test_scales_are_compared_on_their_test_images(index_zip, network, tmp_path):
    cache = Cache(tmp_path)
    plan = EvaluationPlan(protocol="sweep", data=(str(index_zip),), scales=(0.5, 1.0))
    half, full = results(plan, [network], cache=cache)
    compared = compare_results(half, full, cache)
    assert compared.paired.difference.mean == pytest.approx(full.value - half.value)
    assert compared.overlap is not None and 0 <= compared.overlap.mean <= 1


@pytest.mark.parametrize("settings", [{}, {"feed": "input"}, {"size_px": 24}, {"gallery": "scaled"}])
def test_a_recipe_runs_again_with_its_gallery(index_zip, network, settings):
    plan = EvaluationPlan(protocol="sweep", data=(str(index_zip),), scales=(0.25,), **settings)
    recipe = results(plan, [network])[0].recipe
    again = results(plan_of(recipe, str(index_zip)), [network])[0].recipe
    assert again == recipe.scored_as
    assert recipe_from(recipe.plain(), "x") == recipe


def test_an_invalid_gallery_is_refused(index_zip, network):
    with pytest.raises(RecipeError, match="The gallery is 'native' or 'scaled', not 'both'"):
        EvaluationPlan(gallery="both")
    recipe = results(EvaluationPlan(data=(str(index_zip),), scales=(0.5,)), [network])[0].recipe
    with pytest.raises(RecipeError, match="sets gallery to 'both'"):
        recipe_from({**recipe.plain(), "gallery": "both"}, "x")


def test_training_range_needs_no_gsd(class_folders, network):
    plan = EvaluationPlan(data=(str(class_folders),), scales=(0.5,), policies=("training_range",))
    recipe = results(plan, [network])[0].recipe
    assert (recipe.gsd_m, recipe.res, recipe.gallery_res) == (None, 5.0, 2.5)
    with pytest.raises(LabelledSetError, match="choose the policy training_range or author_eval"):
        results(replace(plan, policies=("native_gsd",)), [network])


def test_a_clipped_res_is_reported(index_zip, network, monkeypatch):
    plan = EvaluationPlan(data=(str(index_zip),), scales=(0.25, 1.0), policies=("training_range", "log_gsd"))
    assert not any(r.recipe.res_is_clipped for r in results(plan, [network]))
    monkeypatch.setattr(network, "res", lambda policy, *_: 4.98)
    assert [r.recipe.res_is_clipped for r in results(plan, [network])] == [True, False, True, False]


def test_whu_rs19_counts_256_px_as_full_scale(tmp_path, network):
    for kind, name in enumerate(CLASSES[:2]):
        (tmp_path / "WHU-RS19" / name).mkdir(parents=True)
        for number in range(IMAGES):
            picture(kind, number).save(tmp_path / "WHU-RS19" / name / f"{number}.png")
    plan = EvaluationPlan(protocol="sweep", data=("whu_rs19",), scales=(0.5, 1.0), limit=5)
    half, full = (e for e in evaluate(plan, [network], folders=(tmp_path,)) if isinstance(e, Result))
    assert (full.recipe.native_px, full.recipe.scaled_px, full.recipe.size_px) == (256, 256, 256)
    assert half.recipe.scaled_px == 128 and half.recipe.gallery_px == 256
    assert full.recipe.gsd_m == pytest.approx(0.5 * 600 / 256)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("optimal-31", "optimal31"),
        ("OPTIMAL_31", "optimal31"),
        ("cv-brct", "cvbrct"),
        ("CV-BrCT (aerial)", "cvbrct"),
        ("whu-rs19", "whu_rs19"),
        ("whurs19", "whu_rs19"),
        ("NWPU-RESISC45", "resisc45"),
        ("RESISC-45", "resisc45"),
        ("uc merced", "ucmerced"),
        ("UC Merced Land Use", "ucmerced"),
        ("EuroSAT RGB", "eurosat"),
        ("AiRound", "airound"),
        ("mlrs-net", "mlrsnet"),
    ],
)
def test_other_spellings_name_the_same_set(spelling, name, published_trees):
    assert published_set(spelling) is not None and published_set(spelling).name == name
    if name in LAYOUTS:
        assert find_set(spelling, (published_trees,)) == find_set(name, (published_trees,))


def test_a_name_of_no_set_stays_unknown():
    assert published_set("images") is None and published_set("") is None


def test_one_command_runs_the_papers_table(published_trees, official_weights, tmp_path, capsys):
    command = ["evaluate", *LAYOUTS, "--protocol", "scales", "--gallery", "native", "--against", "paper"]
    options = ["--model", str(official_weights), "--data", str(published_trees), "--limit", "5"]
    cache = ["--cache", str(tmp_path / "cache"), "--policy", ""]
    assert main([*command, *options, *cache, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["data"]: row for row in found["paper"]}
    assert set(rows) == set(LAYOUTS)
    for name, row in rows.items():
        assert row["policy"] == "training_range"
        assert row["paper"] == SCALE_MAE_KNN[name]
        assert row["difference"] == pytest.approx(row["ours"] - SCALE_MAE_KNN[name]["Scale-MAE"])
        assert not any("downsampled" in difference for difference in row["differences"])
        values = [r["accuracy"] for r in found["results"] if r["data"] == name]
        assert len(values) == 4 and row["ours"] == pytest.approx(100 * np.mean(values))
    assert main([*command, *options, *cache]) == 0
    out = capsys.readouterr().out
    assert out.count("difference from Scale-MAE") == len(LAYOUTS)
    assert "(res 4.98, clipped)" in out


def test_scaled_galleries_differ_from_the_paper(published_trees, tmp_path, capsys):
    command = [
        "evaluate",
        "eurosat",
        "--protocol",
        "scales",
        "--against",
        "paper",
        "--model",
        "colour_histogram",
    ]
    options = ["--data", str(published_trees), "--limit", "5", "--cache", str(tmp_path / "cache")]
    assert main([*command, *options]) == 0
    assert "both downsampled" not in capsys.readouterr().out
    assert main([*command, *options, "--gallery", "scaled"]) == 0
    assert "both downsampled" in capsys.readouterr().out


def test_all_names_its_sets(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("core.evaluation.data.datasets.SHARED_DATA", tmp_path / "none")
    assert main(["evaluate", "all", "--model", "colour_histogram", "--cache", str(tmp_path / "cache")]) == 2
    assert "all: eurosat, ucmerced, harvey" in capsys.readouterr().err
