"""Training: the same losses after any interruption, nothing lost to a full disk, and an error for every
invalid spec."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.engine.training.batches import draw_batch
from core.engine.training.publish import publish
from core.engine.training.runs import PRESETS, RunError, TrainingRun, TrainSpec, read_spec, spec_from
from core.engine.training.saving import read_state, unsealed
from core.engine.training.train import Training, train
from core.errors import ExplorerError
from core.geo.crops import draw_crops
from core.geo.imagery import NOT_STATED, FolderPictures, Imagery, folder_imagery
from core.geo.tile import GeoError
from core.models import load_checkpoint
from core.models.registry import ModelCard, WeightsError, create, read_card, write_card
from core.models.scale_contrast import ScaleContrastObjective
from tests.thorough import a_few

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def imagery() -> tuple[Imagery, ...]:
    y, x = np.mgrid[:96, :96] / 96
    waves = [
        np.stack([np.sin(6 * x + i), np.cos(5 * y - i), np.sin(4 * (x + y) + c)], -1)
        for i, c in enumerate((0, 1, 2, 3, 4, 5))
    ]
    pictures = tuple((127 + 100 * wave).astype(np.uint8) for wave in waves)
    return (Imagery("made up", "none", pictures, (10.0,) * 6, coarser=2.0),)


@pytest.fixture
def spec() -> TrainSpec:
    return replace(read_spec(PRESETS["smoke"]), steps=12, batch=4, warmup_steps=2, checkpoint_minutes=1000.0)


def losses(
    spec: TrainSpec, folder: Path, imagery: tuple[Imagery, ...], until: int | None = None
) -> dict[int, float]:
    seen: dict[int, float] = {}
    for step in train(spec, folder, imagery):
        seen[step.step] = step.loss
        if step.step == until:
            TrainingRun(folder).ask_to_stop()
    return seen


def test_a_stopped_and_resumed_run_gives_the_losses_of_an_uninterrupted_one(tmp_path, spec, imagery):
    whole = losses(spec, tmp_path / "whole", imagery)
    first = losses(spec, tmp_path / "parts", imagery, until=5)
    second = losses(spec, tmp_path / "parts", imagery)
    assert max(first) < max(second) == spec.steps
    assert {**first, **second} == whole
    logged = [row["step"] for row in TrainingRun(tmp_path / "parts").log()]
    assert logged == sorted(set(logged))


def test_fixed_tiles_are_scored_beside_the_fill_as_hours_pass(tmp_path, spec, imagery):
    losses(replace(spec, steps=4, preview_every=2), tmp_path, imagery)
    scored = [row for row in TrainingRun(tmp_path).log() if "psnr" in row]
    assert [row["step"] for row in scored] == [2, 4] and scored[0]["hours"] <= scored[1]["hours"]
    assert (
        scored[0]["fill_psnr"] == scored[1]["fill_psnr"]
        and abs(scored[0]["psnr"] - scored[0]["fill_psnr"]) < 3
    )


def test_forty_steps_lower_the_high_band_s_loss(tmp_path, spec, imagery):
    plain = tuple((key, value) for key, value in spec.sizes if key != "centre")
    losses_seen = [
        step.losses["high"]
        for step in train(replace(spec, steps=40, lr=3e-3, sizes=plain), tmp_path, imagery)
    ]
    assert np.mean(losses_seen[-10:]) < 0.9 * np.mean(losses_seen[:5])


def test_mixed_sides_and_ratios_are_drawn_alike_every_time(spec, imagery):
    mixed = replace(
        spec,
        sides_px=(32, 48),
        targets_px=(64, 96),
        side_shares=(0.5, 0.5),
        ratios=(0.5, 0.75),
        mask_kinds=(("random", 0.5), ("block", 0.5)),
    )
    draws = [draw_batch(mixed, imagery, 8, 2, step) for step in range(20)]
    again = draw_batch(mixed, imagery, 8, 2, 7)
    assert {d.side_px for d in draws} == {32, 48}
    assert np.array_equal(draws[7].pixels, again.pixels) and np.array_equal(draws[7].keep, again.keep)
    assert all(len(set(row)) == len(row) for d in draws for row in d.keep.tolist())
    assert len({d.keep.shape[1] / (d.side_px // 8) ** 2 for d in draws}) > 1


def test_two_processes_see_each_picture_of_a_step_once(spec, imagery):
    whole = draw_batch(spec, imagery, 8, 2, 3)
    halves = [draw_batch(spec, imagery, 8, 2, 3, rank, 2) for rank in (0, 1)]
    together = np.concatenate([h.pixels for h in halves])
    assert sorted(p.tobytes() for p in together) == sorted(p.tobytes() for p in whole.pixels)


def test_a_share_of_the_crops_has_its_bands_in_another_order(spec, imagery):
    plain = draw_batch(spec, imagery, 8, 2, 0)
    mixed = draw_batch(replace(spec, shuffled_bands=0.5), imagery, 8, 2, 0)
    np.testing.assert_array_equal(np.sort(mixed.pixels, axis=1), np.sort(plain.pixels, axis=1))
    np.testing.assert_array_equal(mixed.keep, plain.keep)
    changed = (mixed.pixels != plain.pixels).any(axis=(1, 2, 3))
    assert 0 < changed.sum() < len(changed)


def test_resuming_with_a_changed_spec_names_the_difference(tmp_path, spec, imagery):
    losses(spec, tmp_path, imagery, until=2)
    with pytest.raises(RunError, match=r"lr was 0\.002, now 0\.01"):
        losses(replace(spec, lr=0.01), tmp_path, imagery)


def test_a_resumed_run_refuses_changed_imagery_and_names_the_difference(tmp_path, spec, imagery):
    losses(spec, tmp_path, imagery, until=2)
    source = imagery[0]
    fewer = Imagery(source.name, source.licence, source.pictures[:5], source.gsd_m[:5])
    with pytest.raises(RunError, match="made up had 6 images, now 5"):
        losses(spec, tmp_path, (fewer,))
    repainted = (255 - source.pictures[0], *source.pictures[1:])
    with pytest.raises(RunError, match="made up holds different images than before"):
        losses(spec, tmp_path, (Imagery(source.name, source.licence, repainted, source.gsd_m),))


@pytest.mark.thorough
def test_muon_trains_the_matrices_of_the_blocks_and_resumes_to_the_same_losses(tmp_path, spec, imagery):
    muon = replace(spec, optimizer="muon", steps=6)
    training = Training(muon)
    shapes = {
        parameter.ndim for group in training.optimizers[1].param_groups for parameter in group["params"]
    }
    assert shapes == {2} and len(training.optimizers) == 2
    whole = losses(muon, tmp_path / "whole", imagery)
    first = losses(muon, tmp_path / "parts", imagery, until=3)
    assert {**first, **losses(muon, tmp_path / "parts", imagery)} == whole


def test_training_range_varies_as_in_the_release(imagery):
    """2.23 to 4.98 (models.md 1.8), where every picture used to get 2.5."""
    large = Imagery(
        "large",
        "none",
        tuple(np.random.default_rng(0).integers(0, 255, (2, 320, 320, 3), np.uint8)),
        (0.3, 10.0),
    )
    spec = replace(read_spec(PRESETS["gpu"]), sides_px=(64,), targets_px=(128,), batch=64)
    res = np.concatenate([draw_batch(spec, (large,), 16, 2, step).res for step in range(4)])
    assert res.min() == pytest.approx(2.23, abs=0.1) and res.max() == pytest.approx(4.98, abs=0.2)
    assert res.std() > 0.5


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, spec, imagery, monkeypatch):
    losses(spec, tmp_path, imagery, until=4)
    before = (tmp_path / "state.pt").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RunError, match=r"could not be saved in .* \(No space left on device\): free some space"
    ):
        losses(spec, tmp_path, imagery)
    assert (tmp_path / "state.pt").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_disk_that_is_full_for_a_while_costs_no_step(tmp_path, spec, imagery, monkeypatch):
    sync = os.fsync
    saves: list[tuple[bool, str]] = []

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in train(replace(spec, checkpoint_minutes=0.0, preview_every=1), tmp_path, imagery):
        saves.append((step.saved, step.unsaved))
        monkeypatch.setattr(os, "fsync", full if 2 <= step.step < 9 else sync)
    assert len(saves) == spec.steps and saves[0] == (True, "") and saves[-1] == (True, "")
    assert (False, "No space left on device") in saves
    assert not read_state(TrainingRun(tmp_path).state_file)["step"] < spec.steps


def test_a_folder_that_cannot_be_written_is_reported(tmp_path, spec, imagery):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"cannot be written or read \(Not a directory\).*--run"):
        losses(spec, tmp_path / "file" / "run", imagery)


def test_a_checkpoint_with_one_flipped_bit_is_refused(tmp_path, spec, imagery):
    losses(replace(spec, steps=1), tmp_path, imagery)
    run, rng = TrainingRun(tmp_path), np.random.default_rng(0)
    whole = run.state_file.read_bytes()
    for position in [0, 3, 30, 100, *rng.integers(0, len(whole), 56).tolist()]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(rng.integers(8))
        run.state_file.write_bytes(flipped)
        with pytest.raises(RunError, match=r"cannot be read .*remove it to start again"):
            read_state(run.state_file)
    run.state_file.write_bytes(whole)
    assert read_state(run.state_file)["step"] == 1


def test_a_checkpoint_from_before_the_checksum_still_loads(tmp_path, spec, imagery):
    losses(replace(spec, steps=1), tmp_path, imagery)
    run = TrainingRun(tmp_path)
    run.state_file.write_bytes(unsealed(run.state_file.read_bytes()))
    assert read_state(run.state_file)["step"] == 1


def test_a_checkpoint_of_another_network_is_reported(tmp_path, spec, imagery):
    losses(replace(spec, steps=1), tmp_path / "one", imagery)
    wider = tuple((key, 64 if key == "embed_dim" else value) for key, value in spec.sizes)
    losses(replace(spec, steps=2, sizes=wider), tmp_path / "two", imagery, until=1)
    (tmp_path / "two" / "state.pt").write_bytes((tmp_path / "one" / "state.pt").read_bytes())
    with pytest.raises(RunError, match=r"does not fit this run .*remove it to start again"):
        losses(replace(spec, steps=2, sizes=wider), tmp_path / "two", imagery)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"sizes": (("embed_dim", 30), ("num_heads", 4))}, "cannot be split into 4 heads"),
        ({"sizes": (("depth", -1), ("patch_size", 0))}, "cannot be built from this spec"),
        ({"sizes": (("embed_dim", "wide"),)}, "cannot be built from this spec"),
        ({"sizes": (("colour", 1),)}, "has no size called colour"),
        ({"objective": (("colour", 1),)}, "cannot be built from this spec"),
        ({"sides_px": (36,)}, "not a multiple of the network's patch size of 8 px"),
    ],
)
def test_a_network_that_cannot_be_built_is_reported(tmp_path, spec, imagery, changed, sentence):
    sizes = dict(spec.sizes) | dict(changed.pop("sizes", ()))
    with pytest.raises(ExplorerError, match=sentence):
        losses(replace(spec, sizes=tuple(sorted(sizes.items())), **changed), tmp_path, imagery)


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_invalid_weights_to_start_from_are_reported(tmp_path, spec, imagery, content):
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(ExplorerError, match=r"weights\.safetensors .*(give one of those|download it again)"):
        losses(replace(spec, start_from=str(tmp_path / "weights.safetensors")), tmp_path / "run", imagery)


def test_weights_of_other_sizes_cannot_be_started_from(tmp_path, spec, imagery):
    losses(replace(spec, steps=1), tmp_path / "first", imagery)
    wider = tuple((key, 64 if key == "embed_dim" else value) for key, value in spec.sizes)
    start = str(tmp_path / "first" / "weights" / "smoke.safetensors")
    with pytest.raises(RunError, match="does not match scale_mae"):
        losses(replace(spec, sizes=wider, start_from=start), tmp_path / "second", imagery)


def test_lists_in_an_objective_survive_a_resume(tmp_path, imagery):
    sizes = {"embed_dim": 24, "img_size": 32, "num_heads": 2, "stem_dim": 8, "vector_dim": 16}
    plain = {
        "name": "x",
        "model": "scale_contrast",
        "steps": 2,
        "batch": 4,
        "sides_px": [32],
        "sizes": sizes,
        "objective": {"crop": [0.5, 1.0]},
    }
    spec = spec_from(plain, "x.toml")
    TrainingRun(tmp_path).open(spec)
    assert TrainingRun(tmp_path).spec() == spec


def test_a_damaged_log_is_read_as_far_as_it_makes_sense(tmp_path):
    run = TrainingRun(tmp_path)
    rows = [
        '{"step": 1, "loss": 2.0, "seen": 4, "hours": 0.1}',
        '{"stfp": 2, "loss": 1.0}',
        "[1]",
        '{"step": 3, "loss": "x"}',
        "[" * 5000,
        '{"step": 4}',
    ]
    run.log_file.write_bytes("\n".join(rows).encode() + b"\n\xff\xfe")
    assert [row["step"] for row in run.log()] == [1, 4]


@pytest.mark.parametrize("number", a_few([signal.SIGTERM, signal.SIGINT], 1))
def test_a_signal_saves_the_current_step(tmp_path, number):
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(
        str(folder / "a.png"),
        cv2.resize(np.random.default_rng(1).integers(0, 255, (8, 8, 3), np.uint8), (96, 96)),
    )
    toml = tmp_path / "spec.toml"
    toml.write_text(
        PRESETS["smoke"].read_text().replace("steps = 30", "steps = 100000\ncheckpoint_minutes = 1000.0")
    )
    command = [
        sys.executable,
        "-m",
        "core",
        "train",
        str(toml),
        "--folder",
        str(folder),
        "--gsd-m",
        "10",
        "--run",
        str(tmp_path / "run"),
    ]
    with (tmp_path / "log").open("wb") as log_file:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=log_file
        )
    run = TrainingRun(tmp_path / "run")
    try:
        until = time.monotonic() + 120
        while not run.log() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == 130
    finally:
        process.kill()
    last = (tmp_path / "log").read_text().splitlines()[-1]
    step = read_state(run.state_file)["step"]
    assert last == f"core: stopped and saved at step {step}: the same command resumes the run."
    assert run.log()[-1]["step"] == step >= 10


def test_a_nan_loss_ends_the_run_with_advice(tmp_path, spec, imagery):
    with pytest.raises(RunError, match="lower lr"):
        losses(replace(spec, lr=1e30, warmup_steps=0, clip=0.0), tmp_path, imagery)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ({"name": "x", "model": "mae_tiny", "steps": 5, "learning_rate": 1.0}, "unknown keys: learning_rate"),
        ({"name": "x", "model": "mae_tiny"}, "has no key 'steps'"),
        ({"name": "x", "model": "mae_tiny", "steps": "many"}, "steps must be a whole number, not 'many'"),
        ({"name": "x", "model": "mae_tiny", "steps": 5, "ratios": [1.5]}, "between 0 and 1, not"),
        ({"name": "x", "model": "mae_tiny", "steps": 5, "sides_px": [64, 112]}, "same length"),
        (
            {"name": "x", "model": "mae_tiny", "steps": 5, "sides_px": [64], "targets_px": [32]},
            "must not be smaller",
        ),
        ({"name": "x", "model": "mae_tiny", "steps": 5, "coarser": 0.5}, "coarser must be"),
        ({"name": "x", "model": "mae_tiny", "steps": 5, "optimizer": "sgd"}, "adamw, muon"),
    ],
)
def test_an_invalid_spec_is_reported(text, sentence):
    with pytest.raises(RunError, match=sentence):
        spec_from(text, "run.toml")


def test_presets_are_readable():
    assert {"laptop", "gpu", "smoke"} <= set(PRESETS)
    for path in PRESETS.values():
        assert read_spec(path).name


def test_an_unreadable_checkpoint_is_named(tmp_path, spec, imagery):
    losses(spec, tmp_path, imagery, until=2)
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(RunError, match="cannot be read"):
        losses(spec, tmp_path, imagery)


def test_a_corrupt_picture_is_skipped_counted_and_named(tmp_path):
    import cv2

    for i in range(5):
        cv2.imwrite(str(tmp_path / f"good{i}.png"), np.full((40, 40, 3), 40 * i, np.uint8))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    found = folder_imagery(tmp_path, 10.0)
    assert len(found.pictures) == 5 and found.skipped == ("bad.png",) and found.licence == NOT_STATED


def test_a_truncated_picture_is_skipped_while_training(tmp_path):
    """Its header is intact, so only decoding reveals it; all other crops stay the same."""
    import cv2

    for i in range(3):
        cv2.imwrite(
            str(tmp_path / f"good{i}.png"), np.random.default_rng(i).integers(0, 255, (40, 40, 3), np.uint8)
        )
    cv2.imwrite(str(tmp_path / "cut.png"), np.random.default_rng(9).integers(0, 255, (40, 40, 3), np.uint8))
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 4])
    found = folder_imagery(tmp_path, 10.0)
    assert len(found.pictures) == 4
    crops = [
        draw_crops((found,), 32, seed=0, step=0, numbers=range(24), workers=workers).pixels
        for workers in (None, ThreadPoolExecutor(4))
    ]
    assert (
        np.array_equal(*crops)
        and isinstance(found.pictures, FolderPictures)
        and found.pictures.failed == {"cut.png"}
    )


def test_an_empty_folder_is_reported(tmp_path):
    with pytest.raises(GeoError, match="no readable picture"):
        folder_imagery(tmp_path, 10.0)


def test_published_weights_load_and_a_changed_file_is_refused(tmp_path, spec, imagery, monkeypatch):
    from core.models import registry

    named = replace(spec, name="scale_mae_tiny", model="scale_mae_tiny", sizes=(), steps=2, sides_px=(32,))
    losses(named, tmp_path / "run", imagery)
    shelf = tmp_path / "weights"
    publish(TrainingRun(tmp_path / "run"), {"psnr_75": 20.0}, folder=shelf)
    monkeypatch.setattr(registry, "WEIGHTS_FOLDER", shelf)
    card: ModelCard = create("scale_mae_tiny").card
    assert card.weights and card.weights.images_seen == 8 and card.weights.metrics == {"psnr_75": 20.0}
    assert card.default_policy == "log_gsd" and card.res_range == (0.5, 8.0)
    content = bytearray((shelf / "scale_mae_tiny.safetensors").read_bytes())
    content[-1] ^= 1
    (shelf / "scale_mae_tiny.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="is not the file its card describes"):
        create("scale_mae_tiny")


def test_the_weights_of_a_run_describe_themselves(tmp_path, spec, imagery):
    losses(replace(spec, steps=2), tmp_path / "run", imagery)
    file = TrainingRun(tmp_path / "run").weights_file()
    assert file is not None
    beside = load_checkpoint(file).card
    alone = tmp_path / "elsewhere.safetensors"
    alone.write_bytes(file.read_bytes())
    card = load_checkpoint(alone).card
    assert card == replace(
        beside,
        name="elsewhere",
        weights=card.weights,
        licence=card.licence,
        notices=card.notices,
        description=card.description,
    )
    assert (card.default_policy, card.res_range) == ("log_gsd", (0.5, 8.0))


def test_a_run_can_start_from_weights_alone(tmp_path, spec, imagery):
    losses(spec, tmp_path / "first", imagery)
    weights = tmp_path / "first" / "weights" / "smoke.safetensors"
    seen = losses(replace(spec, start_from=str(weights), steps=3), tmp_path / "second", imagery)
    assert len(seen) == 3
    first, second = (
        read_card(tmp_path / run / "weights" / "smoke.json").weights for run in ("first", "second")
    )
    assert first and second and second.steps == first.steps + 3
    assert second.images_seen > first.images_seen and second.data == first.data
    assert f"start from smoke.safetensors ({first.sha256[:8]}" in second.notes
    assert second.licence == first.licence


@pytest.mark.parametrize(
    ("licence", "expected"), [("non-commercial use only, as a", "non-commercial"), (None, "not stated")]
)
@pytest.mark.thorough
def test_weights_inherit_the_licence_of_those_they_start_from(tmp_path, spec, imagery, licence, expected):
    losses(spec, tmp_path / "first", imagery)
    weights = tmp_path / "first" / "weights" / "smoke.safetensors"
    card = read_card(weights.with_suffix(".json"))
    if licence:
        assert card.weights
        write_card(replace(card, weights=replace(card.weights, licence=licence)), weights.parent)
    else:
        weights.with_suffix(".json").unlink()
    losses(replace(spec, start_from=str(weights), steps=2), tmp_path / "second", imagery)
    second = read_card(tmp_path / "second" / "weights" / "smoke.json").weights
    assert second and second.licence.startswith(expected)
    assert "the weights it started from" in second.licence


def test_the_encoder_learns_at_its_share_of_the_rate(spec, imagery):
    training = Training(replace(spec, encoder_rate=0.25, warmup_steps=0))
    named = {id(parameter): key for key, parameter in training.network.named_parameters()}
    shares = {
        named[id(p)]: group["share"]
        for group in training.optimizers[0].param_groups
        for p in group["params"]
        if id(p) in named
    }
    assert {key.split(".")[0] for key, share in shares.items() if share == 0.25} == {
        "cls_token",
        "patch_embed",
        "blocks",
        "norm",
    }
    assert shares["decoder_blocks.0.attn.qkv.weight"] == 1.0
    training.advance(draw_batch(training.spec, imagery, 8, training.enlarge, 0))
    assert sorted(
        {group["lr"] / training.spec.lr for group in training.optimizers[0].param_groups}
    ) == pytest.approx([0.25, 1.0])


def test_buffers_that_are_measured_are_saved_with_the_weights(tmp_path, imagery, monkeypatch):
    monkeypatch.setattr(ScaleContrastObjective, "measured", 64)
    sizes = (("embed_dim", 24), ("img_size", 32), ("num_heads", 2), ("stem_dim", 8), ("vector_dim", 16))
    spec = TrainSpec(
        "measured", "scale_contrast", steps=2, batch=8, sides_px=(32,), sizes=sizes, warmup_steps=1
    )
    losses(spec, tmp_path, imagery)
    written = load_file(tmp_path / "weights" / "measured.safetensors")
    assert written["whitening.centre_0"].abs().max() > 0
    assert not torch.equal(
        written["whitening.rotation"].float(), torch.eye(*written["whitening.rotation"].shape)
    )


def test_a_run_gives_weights_that_had_none_a_whitened_vector(tmp_path, spec, imagery, monkeypatch):
    monkeypatch.setattr("core.engine.training.train.VECTOR_IMAGES", 64)
    losses(spec, tmp_path / "first", imagery)
    weights = tmp_path / "first" / "weights" / "smoke.safetensors"
    sizes = (*spec.sizes, ("vector_dim", 16))
    again = replace(spec, start_from=str(weights), sizes=sizes, steps=1, lr=1e-12, warmup_steps=0)
    losses(again, tmp_path / "second", imagery)
    file = tmp_path / "second" / "weights" / "smoke.safetensors"
    written, before = load_file(file), load_file(weights)
    assert all(torch.equal(written[key], before[key]) for key in before)
    assert next(value for key, value in written.items() if key.endswith("whitening.centre_0")).abs().max() > 0
    assert load_checkpoint(file).card.pooling == "vector"


@pytest.mark.slow
def test_kill_minus_nine_at_random_moments_changes_nothing(tmp_path):
    import cv2

    rng = np.random.default_rng(1)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (96, 96)))
    toml = tmp_path / "spec.toml"
    toml.write_text(
        PRESETS["smoke"].read_text().replace("steps = 30", "steps = 60\ncheckpoint_minutes = 0.002")
    )

    def launch(name: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "core",
            "train",
            str(toml),
            "--folder",
            str(folder),
            "--gsd-m",
            "10",
            "--run",
            str(tmp_path / name),
        ]
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
        )

    assert launch("whole").wait(300) == 0
    for _ in range(3):
        process = launch("killed")
        try:
            process.wait(float(rng.uniform(7, 11)))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert launch("killed").wait(300) == 0
    logs = [
        {
            row["step"]: row["loss"]
            for row in map(json.loads, (tmp_path / n / "log.jsonl").read_text().splitlines())
        }
        for n in ("whole", "killed")
    ]
    assert (
        logs[0]
        and all(logs[1][step] == loss for step, loss in logs[0].items() if step in logs[1])
        and max(logs[1]) == 60
    )


ONE_MACHINE = [["--nproc-per-node", "2"]]
TWO_MACHINES = [["--nproc-per-node", "1", "--nnodes", "2", "--node-rank", str(rank)] for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("launches", [ONE_MACHINE, TWO_MACHINES], ids=["one machine", "two machines"])
def test_two_cpu_processes_train_together(tmp_path, launches):
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(
        str(folder / "a.png"),
        cv2.resize(np.random.default_rng(1).integers(0, 255, (8, 8, 3), np.uint8), (96, 96)),
    )
    where = ["--master-addr", "127.0.0.1", "--master-port", "29555"]
    what = [
        "core",
        "train",
        "smoke",
        "--folder",
        str(folder),
        "--gsd-m",
        "10",
        "--run",
        str(tmp_path / "run"),
    ]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *launch, *where, "-m", "--", *what],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for launch in launches
    ]  # fmt: skip
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()[-2000:]
    assert max(row["step"] for row in TrainingRun(tmp_path / "run").log()) == 30
