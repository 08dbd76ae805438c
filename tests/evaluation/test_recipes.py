import json

import numpy as np
import pytest

from core.evaluation.errors import RecipeError
from core.evaluation.paper import SCALE_MAE_KNN, against_paper, paper_text
from core.evaluation.plan import EvaluationPlan
from core.evaluation.recipes import (
    EvaluationRecipe,
    author_recipe,
    differences,
    parse_recipe,
    read_recipe,
    write_recipe,
)
from core.evaluation.rerun import explain, plan_of
from core.evaluation.results import Result, to_csv, to_latex
from core.evaluation.running import evaluate


def results(plan, subjects, folders=()):
    return [event for event in evaluate(plan, subjects, folders=folders) if isinstance(event, Result)]


@pytest.mark.parametrize("ending", [".toml", ".json"])
@pytest.mark.parametrize("protocol", ["knn", "probe", "few-shot", "reconstruction"])
def test_recipe_file_reproduces_its_result(index_zip, network, tmp_path, ending, protocol):
    plan = EvaluationPlan(
        protocol=protocol,
        data=(str(index_zip),),
        scales=(0.5,),
        policies=("manual-2.5",),
        shots=(3,),
        ratios=(0.6,),
    )
    first = results(plan, [network])[-1]
    write_recipe(first.recipe, tmp_path / f"recipe{ending}")
    read = read_recipe(tmp_path / f"recipe{ending}")
    assert read == first.recipe
    named = EvaluationRecipe(**{**read.plain(), "data": str(index_zip)})
    again = results(plan_of(named), [network])[-1]
    assert again.recipe == first.recipe
    assert again.value == first.value
    assert explain(read, again.recipe) == "The recipe was followed in every setting."


@pytest.mark.parametrize("ending", [".toml", ".json"])
@pytest.mark.parametrize("name", ["Äcker", "\U0001f33e", "a\x7fb\x01", 'q"\\'])
def test_any_name_of_a_set_is_read_again(tmp_path, ending, name):
    recipe = EvaluationRecipe("knn", name, "0", "mae_tiny", "0")
    write_recipe(recipe, tmp_path / f"recipe{ending}")
    assert read_recipe(tmp_path / f"recipe{ending}") == recipe
    assert parse_recipe((tmp_path / f"recipe{ending}").read_bytes(), f"LAID IN{ending.upper()}") == recipe


def test_undecodable_name_gives_a_readable_recipe(tmp_path):
    write_recipe(EvaluationRecipe("knn", "f\udcffld", "0", "mae_tiny", "0"), tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml").data == "f?ld"


def test_settings_that_could_not_be_followed_are_named(index_zip, network):
    recipe = results(EvaluationPlan(data=(str(index_zip),)), [network])[0].recipe
    other = EvaluationRecipe(**{**recipe.plain(), "weights": "abc"})
    assert differences(other, recipe) == {"weights": ("abc", "untrained")}
    assert "weights was 'abc', now 'untrained'" in explain(other, recipe)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('protocol = "knn"\nspeed = 3\n', "unknown setting 'speed'"),
        ('protocol = "knn"\n', "lacks 'data'"),
        ("no toml at all", "is not valid"),
        (
            'protocol="magic"\ndata="a"\ndata_hash="b"\nmodel="c"\nweights="d"\n',
            "asks for the protocol 'magic'",
        ),
        (
            'protocol="knn"\ndata="a"\ndata_hash="b"\nmodel="c"\nweights="d"\nk="many"\n',
            "sets k to 'many'; it must be a number",
        ),
        (
            'protocol="knn"\ndata="a"\ndata_hash="b"\nmodel="c"\nweights="d"\nversion=99\n',
            "recipe version 99",
        ),
    ],
)
def test_invalid_recipe_file_is_refused(tmp_path, content, message):
    (tmp_path / "recipe.toml").write_text(content)
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / "recipe.toml")
    with pytest.raises(RecipeError, match=r"'mine\.toml' is not valid"):
        parse_recipe(b"\xff", "mine.toml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "missing.toml")
    with pytest.raises(RecipeError, match="no authors' recipe 'mine'"):
        author_recipe("mine", None)


def test_results_read_back_as_they_were_and_write_tables(index_zip, network):
    found = results(
        EvaluationPlan(
            protocol="sweep", data=(str(index_zip),), scales=(0.5, 1.0), policies=(None, "author_eval")
        ),
        [network],
    )
    text = json.dumps([result.to_json() for result in found], allow_nan=False)
    assert [Result.from_json(plain) for plain in json.loads(text)] == found
    lines = to_csv(found).splitlines()
    assert lines[0].startswith("data,model,protocol,scale,policy,metric,value,low,high")
    assert len(lines) == 5
    latex = to_latex(found)
    assert "native\\_gsd" in latex
    assert latex.count("\\\\") == 3
    assert latex.count(f"{found[0].value:.3f} [") >= 1


def test_paper_results_are_listed_with_every_difference(class_folders, tmp_path, network):
    (tmp_path / "data").mkdir()
    class_folders.rename(tmp_path / "data" / "EuroSAT_RGB")
    found = results(EvaluationPlan(data=("eurosat",)), [network], (tmp_path / "data",))
    row = against_paper(found)[0]
    assert row.paper == {"Scale-MAE": 86.7, "SatMAE": 84.4, "ConvMAE": 88.8}
    assert row.ours == pytest.approx(100 * found[0].value)
    differences_text = " ".join(row.differences)
    assert "scales 100 % instead of" in differences_text
    assert "gallery of 33 images instead of 21,600" in differences_text
    assert "not the paper's ViT-L" in differences_text
    text = paper_text([row])
    assert "86.7" in text and "another protocol" in text


def test_the_table_copied_from_the_paper_has_the_means_computed_from_it():
    means = [
        np.mean([row[name] for row in SCALE_MAE_KNN.values()]) for name in ("Scale-MAE", "SatMAE", "ConvMAE")
    ]
    assert np.round(means, 1).tolist() == [73.9, 68.6, 71.5]
