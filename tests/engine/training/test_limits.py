"""What a page must not start: paths outside the folder of runs, and numbers beyond its limits."""

from dataclasses import replace

import pytest

from core.engine.training import limits
from core.engine.training.limits import _oversized, _paths_outside, check_shared, memory_needed
from core.engine.training.runs import PRESETS, RunError, read_spec

SMOKE = read_spec(PRESETS["smoke"])


@pytest.mark.parametrize(
    "changed",
    [
        {"start_from": "smoke"},
        {"start_from": "runs\0/x.safetensors"},
        {"start_from": "runs/../core/models/weights/mae_tiny.safetensors"},
        {"objective": (("teacher", "a" * 61),)},
        {"objective": (("teacher", "../x"),)},
        {"objective": (("teacher", "x.pth"),)},
        {"sizes": (("norm", "/etc/passwd"),)},
    ],
)
def test_a_file_outside_the_folder_of_runs_is_refused(changed, tmp_path):
    with pytest.raises(RunError, match=f"{next(iter(changed))}|teacher|norm") as refusal:
        check_shared(replace(SMOKE, **changed), tmp_path)
    assert "must be" in str(refusal.value) and "a file of one of the runs here" in str(refusal.value)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"steps": 1_000_001, "preview_every": 10_000}, "steps must be at most 1,000,000"),
        ({"steps": 5_001, "preview_every": 10}, "preview_every must be at least 11 for 5,001 steps"),
        ({"sizes": (("decoder_depth", 65),)}, "decoder_depth = 65 is beyond"),
        ({"sizes": (("fcn_layers", 65),)}, "fcn_layers = 65 is beyond"),
        ({"sizes": (("decoder_embed_dim", 4097),)}, "decoder_embed_dim = 4097 is beyond"),
        ({"sizes": (("img_size", 1025),)}, "img_size = 1025 is beyond"),
        ({"sizes": (("num_heads", 65_537),)}, "num_heads = 65537 is beyond"),
        ({"sizes": (("num_heads", -65_537),)}, "num_heads = -65537 is beyond"),
        ({"sizes": (("band_config", (7, 65_537)),)}, "band_config = 65537 is beyond"),
        ({"sizes": (("band_config", ((7,),)),)}, "band_config = .* is beyond"),
        ({"objective": (("weight", float("nan")),)}, "weight = nan is beyond"),
        ({"objective": (("weight", 1e9),)}, "weight = 1000000000.0 is beyond"),
    ],
)
def test_a_number_beyond_the_limits_of_a_page_is_refused(changed, sentence, tmp_path):
    with pytest.raises(RunError, match=sentence):
        check_shared(replace(SMOKE, **changed), tmp_path)


def test_words_and_numbers_at_the_limits_are_accepted(tmp_path):
    sizes = (("depth", 64), ("embed_dim", 4096), ("img_size", 1024), ("num_heads", 65_536), ("odd", None))
    words = (("norm", "a-plain_word"), ("teacher", ""), ("log_each", True))
    spec = replace(SMOKE, steps=1_000_000, preview_every=2_000, sizes=sizes, objective=words)
    assert not list(_oversized(spec))
    assert not list(_paths_outside(spec, tmp_path))


def test_no_limit_is_above_what_was_measured_to_be_safe():
    most = {"MOST_HOURS": 24, "MOST_PREVIEWS": 500, "MOST_STEPS": 10**6, "MEMORY_SHARE": 0.5}
    assert all(0 < getattr(limits, name) <= value for name, value in most.items())


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"patch_size": 0}, "cannot be built with these sizes"),
        ({"num_heads": 7}, "cannot be built with these sizes"),
        ({"img_size": 8, "patch_size": 16}, "img_size 8 with patch_size 16 cannot be trained here"),
        ({"img_size": 1024, "patch_size": 1, "embed_dim": 32}, "img_size 1024 with patch_size 1"),
        ({"img_size": 256, "patch_size": 4, "embed_dim": 8192}, "img_size 256 with patch_size 4"),
        ({"img_size": 256, "patch_size": 4, "decoder_embed_dim": 8192}, "img_size 256 with patch_size 4"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_before_anything_is_built(sizes, sentence):
    with pytest.raises(RunError, match=sentence):
        memory_needed(replace(SMOKE, sizes=tuple((dict(SMOKE.sizes) | sizes).items())))
