"""Files and links of the version before 0.2.0 still open and give the same results.

`files/` was written by that version's own code with `write_files.py`; its imagery is synthetic.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from core.atlas import open_table
from core.cli.entry import OK, build_parser, main
from core.cli.verbs import reconstruct as verb
from core.evaluation.recipes import read_recipe
from core.evaluation.results import Result
from core.geo.crops import Imagery
from core.geo.tile import TileRef, TileSpec
from core.masking import MaskSpec
from core.models import load_checkpoint
from core.policy import Policy, policy_from_text
from core.session import PageView, view_from_json, view_from_params

FILES = Path(__file__).with_name("files")
LINKS: list[dict[str, Any]] = json.loads((FILES / "links.json").read_text())
DEFAULT = PageView(
    "scale_mae_tiny", "", TileSpec(TileRef("globe", "blue_marble")), Policy("native_gsd"), MaskSpec("border")
)


def of_page(page: str) -> list[dict[str, Any]]:
    return [link for link in LINKS if link["page"] == page]


def plain(spec: object) -> Any:
    """Return a spec as it looks in a JSON file."""
    return json.loads(json.dumps(asdict(spec)))  # type: ignore[call-overload]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, which is the working folder."""
    shutil.copytree(FILES, tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files")
    return tmp_path / "files"


def output_of(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    assert main([*words, "--json"]) == OK
    out, err = capsys.readouterr()
    return json.loads(out), err


# Links -----------------------------------------------------------------------------------


@pytest.mark.parametrize("link", of_page("1_Mask_Lab"), ids=lambda link: link["command"][20:])
def test_a_link_of_mask_lab_restores_the_view(link: dict[str, Any]) -> None:
    restored = view_from_params(link["params"], DEFAULT)
    assert not restored.ignored
    assert plain(restored.view) == link["view"]
    assert restored.view.to_params() == link["params"]


@pytest.mark.parametrize("link", of_page("1_Mask_Lab"), ids=lambda link: link["command"][20:])
def test_its_command_line_has_the_same_meaning(link: dict[str, Any]) -> None:
    args = build_parser().parse_args(shlex.split(link["command"])[3:])
    view = link["view"]
    assert (args.model, args.size_px) == (view["model"], view["tile"]["size_px"])
    assert plain(policy_from_text(args.policy)) == view["policy"]
    assert plain(verb._mask(args)) == view["mask"]


def test_a_link_of_scale_lab_restores_its_settings() -> None:
    from ui.scale_lab.choices import choices_from

    links = of_page("2_Scale_Lab")
    assert len(links) == 3
    for link in links:
        restored = view_from_params(link["params"], DEFAULT)
        choices, ignored = choices_from(restored.view.selection)
        assert not restored.ignored and not ignored
        assert plain(choices) == link["choices"]


def test_a_link_of_the_globe_restores_what_it_shows() -> None:
    from ui.globe.globe_state import from_params

    links = of_page("3_Globe")
    assert len(links) == 5
    for link in links:
        view, ignored = from_params(link["params"])
        assert not ignored
        restored = plain(view)
        restored["notes"] = sorted(restored.pop("panel_params"))  # the field has another name now
        assert restored.pop("land_only") is None  # earlier versions always showed the sea
        for value in (restored, link["sight"]):
            if value["selection"]:
                value["selection"]["polygon"] = np.round(value["selection"]["polygon"], 1).tolist()
        assert restored == link["sight"]


@pytest.mark.parametrize("page", ["1_Mask_Lab", "2_Scale_Lab", "3_Globe"])
def test_a_page_opens_from_its_link(page: str) -> None:
    from streamlit.testing.v1 import AppTest

    from tests.conftest import ROOT

    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.switch_page(f"pages/{page}.py")
    for name, value in of_page(page)[1]["params"].items():
        if name not in ("table", "rows"):  # of a table on that machine
            app.query_params[name] = value
    app.run()
    assert not app.exception
    assert not [box.value for box in (*app.warning, *app.error) if "link" in box.value]


def test_a_saved_view_opens() -> None:
    restored = view_from_json((FILES / "saved_view.json").read_text(), DEFAULT)
    assert not restored.ignored
    assert (restored.view.model, restored.view.policy.name) == ("mae_tiny", "log_gsd")
    assert restored.view.to_json() == (FILES / "saved_view.json").read_text()


# Weights and training ----------------------------------------------------------------------


def test_weights_load_with_their_card_and_give_the_same_tokens() -> None:
    model = load_checkpoint(FILES / "waves.safetensors")
    card, before = plain(model.card), json.loads((FILES / "card.json").read_text())
    for name in before.keys() - {"weights", "description"}:
        assert card[name] == before[name], name
    assert {name: card["weights"][name] for name in before["weights"]} == before["weights"]
    with rasterio.open(FILES / "scene.tif") as file:
        pixels = file.read(window=((0, 32), (0, 32)))
    images = torch.from_numpy(pixels[None].astype(np.float32) / 255)
    with torch.no_grad():
        tokens = model.encode(images, torch.tensor([2.0])).numpy()
    np.testing.assert_allclose(tokens, np.load(FILES / "tokens.npy"), atol=1e-5)


def test_a_stopped_training_run_resumes(files: Path) -> None:
    """Its weights are restored exactly.

    Later losses differ by design, because crops are drawn differently now.
    """
    from core.engine.training.runs import TrainingRun
    from core.engine.training.saving import read_state
    from core.engine.training.train import Training, train

    run = TrainingRun(files / "run")
    stopped_at, steps = run.log()[-1]["step"], run.spec().steps
    assert 0 < stopped_at < steps
    weights_file = run.weights_file()
    assert weights_file is not None
    published = load_checkpoint(weights_file).state_dict()
    training = Training(run.spec())
    training.restore(read_state(run.state_file))
    assert training.step == stopped_at
    for name, value in training.ema.module.named_parameters():
        if not name.endswith("pos_embed"):  # fixed encodings, which files of weights leave out
            torch.testing.assert_close(value, published[name], atol=1e-3, rtol=1e-3)

    with rasterio.open(FILES / "scene.tif") as file:
        scene = file.read().transpose(1, 2, 0)
    imagery = Imagery("waves", "none", (scene[:, :96].copy(), scene[:, 96:].copy()), (10.0, 10.0), share=1.0)
    resumed = list(train(run.spec(), run.folder, (imagery,)))
    assert [step.step for step in resumed] == list(range(stopped_at + 1, steps + 1))
    assert all(np.isfinite(step.loss) for step in resumed)
    assert [row["step"] for row in run.log()] == [4, stopped_at, steps]


# Results of commands -------------------------------------------------------------------------


def test_a_reconstruction_recipe_gives_the_same_picture(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((files / "reconstruction.json").read_text())
    stored = json.loads((files / "reconstruction" / "recipe.json").read_text())
    recipe = before["recipe"]
    assert stored["recipe"] == recipe
    with Image.open(files / "reconstruction" / "figure.png") as figure:
        assert json.loads(figure.text["Description"]) == recipe  # type: ignore[attr-defined]
    words = (
        "reconstruct", "scene.tif", "--model", "waves.safetensors", "--window", "20,30,48,48",
        "--mask", recipe["mask"], "--out", "again",
    )  # fmt: skip
    now, _ = output_of(capsys, *words)
    for name in recipe.keys() - {"target"}:  # a sentence, worded differently now
        assert now["recipe"][name] == recipe[name], name
    for name, scores in before["metrics"].items():
        assert now["metrics"][name] == pytest.approx(scores, rel=1e-4)
    with (
        rasterio.open("again/reconstruction.tif") as one,
        rasterio.open("reconstruction/reconstruction.tif") as other,
    ):
        assert one.transform == other.transform and one.crs == other.crs
        np.testing.assert_allclose(one.read(), other.read(), atol=1e-5)


@pytest.mark.parametrize(
    ("table", "options"),
    [("table", ("--losses",)), ("table_int8", ("--data-type", "int8", "--gsd-m", "10,20"))],
)
def test_a_table_opens_and_embedding_again_gives_its_vectors(
    table: str, options: tuple[str, ...], files: Path
) -> None:
    before = open_table(files / table)
    assert not before.stored.problems
    words = ("embed", "scene.tif", "--model", "waves.safetensors", "--tile-px", "32", *options)
    assert main([*words, "--out", "again"]) == OK
    now = open_table(files / "again")
    assert before.columns["unique_id"].to_pylist() == now.columns["unique_id"].to_pylist()
    np.testing.assert_allclose(before.vectors, now.vectors, atol=0.02 if "int8" in table else 1e-5)
    for column in ("centre_lon", "centre_lat", "gsd_m", "recon_loss_low", "recon_loss_high"):
        values = (table.columns[column].to_numpy().astype(float) for table in (before, now))
        np.testing.assert_allclose(*values, rtol=1e-4)


def test_a_finished_embedding_run_resumes_without_a_change(files: Path) -> None:
    content = {path.name: path.read_bytes() for path in (files / "table").glob("*.parquet")}
    words = ("embed", "scene.tif", "--model", "waves.safetensors", "--tile-px", "32", "--losses")
    assert main([*words, "--out", "table", "--resume"]) == OK
    assert {path.name: path.read_bytes() for path in (files / "table").glob("*.parquet")} == content


def test_a_search_finds_the_same_rows(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads((files / "search.json").read_text())["neighbors"]
    now = output_of(capsys, "search", "table", "--row", "3", "--k", "4")[0]["neighbors"]
    assert [row["row"] for row in now] == [row["row"] for row in before]
    assert [row["similarity"] for row in now] == pytest.approx([row["similarity"] for row in before])


def test_a_patch_raster_opens_as_a_table(files: Path) -> None:
    table = open_table(next((files / "patches").glob("*.patches.tif")))
    assert len(table) == 12 * 24 and table.dim == 16
    assert np.isfinite(table.vectors).all()


@pytest.mark.parametrize(
    "recipe",
    sorted((FILES / "numbers").glob("*/recipes/*.toml")),
    ids=lambda path: f"{path.parts[-3]}-{path.stem[:4]}",
)
def test_an_evaluation_recipe_gives_the_same_number(
    recipe: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = json.loads((recipe.parents[1] / "results.json").read_text())["results"]
    results = {result.recipe: result for result in map(Result.from_json, stored)}
    before = results[read_recipe(recipe)]
    output, messages = output_of(capsys, "evaluate", "--recipe", str(recipe), "fields.zip")
    now = Result.from_json(output["results"][-1])
    assert "followed in every setting" in messages
    assert (now.metric, now.count) == (before.metric, before.count)
    assert (now.value, now.low, now.high) == pytest.approx((before.value, before.low, before.high), rel=1e-4)
