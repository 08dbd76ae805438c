"""The view: restored in full from a link, JSON, a cell and a command; invalid links never raise."""

import ast
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.geo.tile import TileRef, TileSpec
from core.masking import KINDS, MaskSpec, mask_from_text
from core.policy import POLICIES, Policy
from core.session import PageView, view_from_json, view_from_params

DEFAULT = PageView(
    "scale_mae_tiny", "", TileSpec(TileRef("samples", "landsat")), Policy("log_gsd"), MaskSpec()
)

coordinates = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
windows = st.tuples(st.integers(-5, 10**6), st.integers(0, 10**6), st.integers(1, 9999), st.integers(1, 9999))
metres = st.none() | st.floats(1e-3, 1e5)
names = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=40
).filter(lambda text: text.isprintable())
tiles = st.builds(
    lambda source, key, place, **rest: TileSpec(TileRef(source, key), **{place[0]: place[1]}, **rest),
    st.sampled_from(["samples", "globe", "upload"]),
    names,
    st.tuples(st.just("window"), st.none() | windows) | st.tuples(st.just("lonlat"), coordinates),
    gsd_m=metres,
    size_px=st.none() | st.integers(1, 8192),
    rgb=st.none() | st.tuples(*[st.integers(0, 12)] * 3),
    stated_gsd_m=metres,
)
masks = st.builds(
    MaskSpec,
    st.sampled_from(list(KINDS)),
    st.floats(0, 1),
    st.integers(0, 99),
    st.integers(0, 9),
    st.just((1, 2)),
    st.just((4, 4)),
    st.booleans(),
)
views = st.builds(
    PageView,
    model=st.sampled_from(["scale_mae_tiny", "sdmae_base", "my-model.2"]),
    tile=tiles,
    policy=st.builds(Policy, st.sampled_from(list(POLICIES)), st.floats(0.01, 100)),
    mask=masks,
    weights_hash=st.sampled_from(["", "0123456789ab"]),
    selection=st.sampled_from(["", "row:17", "lasso~3.1,4.2"]),
)


@given(views)
def test_a_link_and_its_json_restore_the_view(view: PageView) -> None:
    for restored in (view_from_params(view.to_params(), DEFAULT), view_from_json(view.to_json(), DEFAULT)):
        assert restored.view == view
        assert restored.ignored == ()


@given(views)
def test_the_cell_builds_equal_specs(view: PageView) -> None:
    tree = ast.parse(view.to_python())
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    scope: dict[str, Any] = {"TileRef": TileRef, "TileSpec": TileSpec, "MaskSpec": MaskSpec, "Policy": Policy}

    def built(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "cell", "eval"), scope)

    call = values["result"]
    assert isinstance(call, ast.Call)
    assert [built(node) for node in call.args[2:]] == [view.mask, view.policy]
    if view.tile.ref.source != "upload":
        assert built(values["spec"]) == view.tile
    else:
        assert "source.keys()[0]" in ast.unparse(values["spec"])
        assert view.tile.ref.key not in ast.unparse(values["spec"]) or len(view.tile.ref.key) < 20


@pytest.mark.slow
def test_the_cell_runs_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(DEFAULT.to_python(), "cell", "exec"), {})
    assert "scale_mae_tiny" in capsys.readouterr().out


@given(views)
def test_the_command_contains_every_setting_of_the_view(view: PageView) -> None:
    words = shlex.split(view.to_command())
    assert words[:4] == ["python", "-m", "core", "reconstruct"]
    options = dict(
        word.split("=", 1) if "=" in word else (word, words[at + 1])
        for at, word in enumerate(words)
        if word.startswith("--")
    )
    mask = mask_from_text(options["--mask"])
    if "--ratio" in options:
        mask = MaskSpec(mask.kind, float(options["--ratio"]), int(options.get("--seed", 0)))
    assert mask == view.mask
    place = {"--window": view.tile.window, "--at": view.tile.lonlat, "--rgb": view.tile.rgb}
    for name, value in place.items():
        assert (tuple(map(float, options[name].split(","))) if name in options else None) == value


def test_the_command_of_a_plain_view_is_plain() -> None:
    assert DEFAULT.to_command() == (
        "python -m core reconstruct samples/landsat --model scale_mae_tiny "
        "--policy log_gsd --mask random --ratio 0.75 --seed 0"
    )


def test_a_link_is_short_and_can_be_read() -> None:
    assert DEFAULT.to_params() == {
        "model": "scale_mae_tiny",
        "tile": "samples/landsat",
        "policy": "log_gsd",
        "mask": "random-75-s0",
    }


def test_missing_parts_come_from_the_default() -> None:
    assert view_from_params({}, DEFAULT).view == DEFAULT
    assert view_from_params({"gsd": "30"}, DEFAULT).view.tile == TileSpec(
        TileRef("samples", "landsat"), gsd_m=30
    )
    placed = PageView(
        "m", "", TileSpec(TileRef("globe", "blue_marble"), lonlat=(8, 47), gsd_m=500), Policy(), MaskSpec()
    )
    assert view_from_params({"at": "9,48"}, placed).view.tile.lonlat == (9, 48)
    assert view_from_params({"tile": "samples/other"}, placed).view.tile == TileSpec(
        TileRef("samples", "other")
    )


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"mask": "random-175-s0"}, {}),
        ({"mask": "x" * 5000}, {}),
        ({"policy": "manual-nan"}, {}),
        ({"gsd": "-1"}, {}),
        ({"gsd": "1e999"}, {}),
        ({"size": "9" * 4000}, {}),
        ({"at": "nan,0"}, {}),
        ({"at": "8"}, {}),
        ({"win": "0,0,0,0"}, {}),
        ({"win": "0,0,9,9", "at": "8,47"}, {}),
        ({"rgb": "0,1,-2"}, {}),
        ({"tile": "nothing"}, {}),
        ({"tile": "a/\x00b"}, {}),
        ({"model": "<script>"}, {}),
        ({"model": "unknown_model"}, {}),
        ({"tile": "elsewhere/x", "win": "1,2,3,4"}, {}),
        ({"weights": "../../x"}, {}),
        ({"sel": "<img src=x>"}, {}),
        ({"evil": "1"}, {}),
        ({"mask": "fog", "policy": "native_gsd"}, {"policy": Policy("native_gsd")}),
    ],
)
def test_invalid_parts_are_left_out_with_a_message(params: dict[str, str], kept: dict[str, Any]) -> None:
    restored = view_from_params(params, DEFAULT, models={"scale_mae_tiny"}, sources={"samples", "globe"})
    for field, value in kept.items():
        assert getattr(restored.view, field) == value
    if not kept:
        assert restored.view == DEFAULT
    assert len(restored.ignored) == 1
    assert restored.ignored[0].endswith(".")
    assert len(restored.ignored[0]) < 400


@given(
    st.dictionaries(
        st.sampled_from(
            list(DEFAULT.to_params()) + ["win", "at", "gsd", "size", "rgb", "stated", "sel", "x"]
        ),
        st.text(max_size=50),
    )
)
def test_no_link_raises(params: dict[str, str]) -> None:
    view_from_params(params, DEFAULT)


@given(
    st.text(max_size=80) | st.sampled_from(["[1]", "null", '{"mask": 7, "tile": {"a": 1}}', "[" * 100_000])
)
def test_no_json_raises(text: str) -> None:
    view_from_json(text, DEFAULT)


def test_parameters_of_others_are_ignored() -> None:
    assert view_from_params({"embed": "true", "job": "7"}, DEFAULT, others={"embed", "job"}).ignored == ()


def test_uploaded_weights_become_a_path_to_fill_in():
    uploaded = replace(DEFAULT, model="upload-abcDEF_-123")
    assert uploaded.lives_here and not DEFAULT.lives_here
    assert "load('path/to/your/weights.pth')" in uploaded.to_python()
    assert "--model path/to/your/weights.pth+gsd" in replace(uploaded, model="upload-abc+gsd").to_command()
    assert "upload-" not in uploaded.to_python() + uploaded.to_command()
    restored = view_from_params(uploaded.to_params(), DEFAULT, models={"mae_tiny"})
    assert restored.view.model == DEFAULT.model
    assert "uploaded in another session" in restored.ignored[0]


SHA256 = {"scale_mae_tiny": "df4c609403c1" + "0" * 52, "mae_large": "", "broken.pth": None}


@pytest.mark.parametrize(
    ("params", "sentences"),
    [
        ({"weights": "df4c609403c1"}, []),
        ({"weights": "df4c60"}, []),
        ({"model": "broken.pth", "weights": "deadbeef0000"}, []),
        (
            {"weights": "deadbeef0000"},
            ["made with the weights deadbeef0000, but scale_mae_tiny has the weights df4c609403c1 here"],
        ),
        ({"model": "mae_large", "weights": "deadbeef0000"}, ["mae_large is untrained here"]),
        ({"model": "nobody", "weights": "deadbeef0000"}, ["no model called nobody"]),
    ],
)
def test_a_link_made_with_other_weights_says_so(params: dict[str, str], sentences: list[str]) -> None:
    restored = view_from_params(params, DEFAULT, models=set(SHA256), weights=SHA256.__getitem__)
    assert len(restored.ignored) == len(sentences)
    assert all(part in message for part, message in zip(sentences, restored.ignored, strict=True))
    if sentences:
        assert restored.view.weights_hash == ""


def test_an_unused_parameter_is_left_out_with_a_message() -> None:
    restored = view_from_params({"sel": "row:17"}, DEFAULT, unused=("sel",))
    assert restored.view == DEFAULT and '"sel"' in restored.ignored[0]
