"""Masks of folders and scenes, mean IoU against a plain loop, its interval, and the whole protocol."""

import numpy as np
import pytest
from PIL import Image

from core.engine.training.segment import train_head
from core.evaluation.cache import Cache
from core.evaluation.data.datasets import DataSpec
from core.evaluation.data.masked import open_masked
from core.evaluation.data.masked_set import UNLABELLED, MaskedTile
from core.evaluation.errors import FeatureError, LabelledSetError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.protocols.segmentation import (
    BALANCES,
    RATES,
    bootstrap_miou,
    compare_miou,
    confusion_of,
    iou,
)
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.subjects import ColourHistogram


def write_pair(folder, name, side=32, seed=0, values=(0, 1)):
    """Write an image: green and class values[0] left of a seeded column, grey and values[1] right of it."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    edge = int(rng.integers(1, side // 8)) * 8
    pixels, mask = np.full((side, side, 3), 130), np.full((side, side), values[1])
    pixels[:, :edge], mask[:, :edge] = (50, 120, 50), values[0]
    Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)).save(
        folder / "images" / f"{name}.png"
    )
    Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / f"{name}.png")


@pytest.fixture
def masked_folder(tmp_path):
    for split, count in (("train", 6), ("test", 4)):
        for number in range(count):
            write_pair(tmp_path / "fields" / split, f"{split}{number}", seed=number + 10 * (split == "test"))
    return tmp_path / "fields"


def results(plan, subjects, **options):
    return [
        e for e in evaluate(plan, subjects, folders=(), learn=train_head, **options) if isinstance(e, Result)
    ]


def test_iou_equals_a_plain_loop_and_ignores_what_is_not_labelled():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, (2, 20, 20)).astype(np.uint8)
    truth[:5] = UNLABELLED
    found = iou(confusion_of(truth, predicted, 4))
    known = truth != UNLABELLED
    for number in range(3):
        a, b = (truth == number) & known, (predicted == number) & known
        assert found[number] == pytest.approx((a & b).sum() / (a | b).sum())
    assert np.isnan(found[3])


def test_the_interval_holds_the_number_and_shrinks_with_more_images():
    rng = np.random.default_rng(1)
    each = np.stack([rng.multinomial(100, [0.5, 0.1, 0.1, 0.3]).reshape(2, 2) for _ in range(40)])
    few, many = bootstrap_miou(each[:5]), bootstrap_miou(each)
    assert few.low <= few.mean <= few.high and many.low <= many.mean <= many.high
    assert many.high - many.low < few.high - few.low
    assert many.mean == pytest.approx(np.mean(iou(each.sum(axis=0))))


def test_two_models_are_paired_over_the_same_draws():
    rng = np.random.default_rng(2)
    worse = np.stack([rng.multinomial(100, [0.4, 0.2, 0.1, 0.3]).reshape(2, 2) for _ in range(30)])
    better = worse.copy()
    better[:, 0, 0] += better[:, 0, 1] // 2
    better[:, 0, 1] -= worse[:, 0, 1] // 2
    found = compare_miou(worse, better)
    assert 0 < found.difference.low < found.difference.mean < found.difference.high
    with pytest.raises(FeatureError, match="same images"):
        compare_miou(worse, worse + 1)


def test_folder_is_trained_on_scored_and_cached(masked_folder, network, tmp_path):
    plan = EvaluationPlan(protocol="segmentation", data=(str(masked_folder),), gsd_m=1.0, scales=(0.5, 1.0))
    cache = Cache(tmp_path / "cache")
    found = results(plan, [ColourHistogram(), network], cache=cache)
    assert [(r.metric, r.recipe.model, r.recipe.scale) for r in found] == [
        ("miou", "colour_histogram", 0.5), ("miou", "colour_histogram", 1.0),
        ("miou", "fake", 0.5), ("miou", "fake", 1.0)
    ]  # fmt: skip
    whole = found[1]
    assert whole.value > 0.8, "colours alone tell green from grey"
    assert whole.low <= whole.value <= whole.high and whole.count == 4
    assert set(whole.details["iou"]) == {"class 0", "class 1"}
    assert whole.value == pytest.approx(np.mean(list(whole.details["iou"].values())))
    arrays = cache.arrays(whole.recipe)
    assert (
        arrays["example_picture"].shape == (4, 32, 32, 3)
        and arrays["example_truth"].shape == arrays["example_predicted"].shape
    )
    assert list(evaluate(plan, [ColourHistogram(), network], folders=(), cache=cache)) == found, (
        "cached results need no head"
    )


def test_settings_are_chosen_on_held_out_train_tiles_only(masked_folder, network):
    seen = []

    def learn(tokens, masks, classes, rate, balance, seed):
        fitted = [tokens.shape[0], rate, balance, 0]
        seen.append(fitted)

        def segment(part):
            fitted[3] += len(part)
            right = (rate, balance) == (RATES[1], BALANCES[0])
            return np.full((len(part), 32, 32), 0 if right else 1, np.uint8)

        return segment

    plan = EvaluationPlan(protocol="segmentation", data=(str(masked_folder),), gsd_m=1.0)
    found = next(e for e in evaluate(plan, [network], folders=(), learn=learn) if isinstance(e, Result))
    *tried, last = seen
    assert [(rate, balance) for _, rate, balance, _ in tried] == [
        (rate, balance) for rate in RATES for balance in BALANCES
    ]
    assert {(fitted, asked) for fitted, *_, asked in tried} == {(5, 1)}, (
        "six train pieces, one of them held back"
    )
    assert last == [6, found.details["rate"], found.details["balance"], 4], (
        "all train pieces, and the four test pieces"
    )
    held_back = found.details["held_back"]
    assert (
        len(set(held_back.values())) == 2
        and max(held_back, key=held_back.get) == f"rate {last[1]:g}, balance {last[2]:g}"
    )


def test_255_is_a_class_only_in_masks_of_0_and_255(tmp_path):
    for number in range(4):
        write_pair(tmp_path / "binary", str(number), seed=number, values=(0, 255))
        write_pair(tmp_path / "some", str(number), seed=number, values=(255, number % 2))
    (tmp_path / "binary" / "classes.txt").write_text("land\nroof\n")
    binary = open_masked(DataSpec(str(tmp_path / "binary")), ())
    assert binary.classes == ("land", "roof")
    assert sorted(binary.splits.tolist()) == ["test", "train", "train", "train"]
    piece = binary.read(0)
    assert isinstance(piece, MaskedTile) and set(np.unique(piece.classes)) == {0, 1}
    some = open_masked(DataSpec(str(tmp_path / "some")), ())
    assert some.classes == ("class 0", "class 1")
    assert any((some.read(row).classes == UNLABELLED).any() for row in range(4))


def test_a_limit_counts_images_of_each_split(masked_folder):
    found = open_masked(DataSpec(str(masked_folder), limit=2), ())
    assert len(found.rows("train")) == len(found.rows("test")) == 2


def test_large_images_are_cut_into_tiles_of_one_group(tmp_path):
    for number in range(4):
        write_pair(tmp_path / "big", str(number), side=520, seed=number)
    found = open_masked(DataSpec(str(tmp_path / "big")), ())
    assert len(found.names) == 16 and found.native_px == 256
    assert np.bincount(found.groups).tolist() == [4, 4, 4, 4]


def test_invalid_folders_are_refused(tmp_path, masked_folder, make_network):
    def refused(pattern, folder=masked_folder, **options):
        with pytest.raises(LabelledSetError, match=pattern):
            open_masked(DataSpec(str(folder), **options), ())

    refused("no set with masks", tmp_path / "nowhere")
    refused("The limit is 0 images", limit=0)
    (tmp_path / "empty").mkdir()
    refused("has 0 pairs", tmp_path / "empty")
    refused("scenes.zip was not found", "nc_landcover")
    with pytest.raises(
        FeatureError,
        match=r"Model 'nan_net' gives values that are not finite for image 'train/images/train5\.png",
    ):
        results(
            EvaluationPlan(protocol="segmentation", data=(str(masked_folder),), gsd_m=1.0),
            [make_network("nan_net", broken=True)],
        )
    victim = masked_folder / "test" / "masks" / "test1.png"
    Image.new("RGB", (32, 32)).save(victim)
    refused("is a colour image")
    victim.write_bytes(b"no picture")
    refused("cannot be read")
    Image.new("L", (3, 40), 1).save(victim)
    refused("has 3 x 40 pixels; the smallest mask sets")
    Image.fromarray(np.full((32, 32), 0.5, np.float32)).save(victim.with_suffix(".tif"))
    victim.unlink()
    refused("has values that are not whole numbers")
    victim.with_suffix(".tif").unlink()
    refused(r"test1\.png' of 'fields' has no mask")
    write_pair(tmp_path / "plain", "a", values=(1, 1))
    write_pair(tmp_path / "plain", "b", values=(1, 1))
    refused("single class 1", tmp_path / "plain")


def test_test_masks_without_a_labelled_pixel_are_refused(masked_folder):
    for mask in (masked_folder / "test" / "masks").iterdir():
        Image.new("L", (32, 32), UNLABELLED).save(mask)
    with pytest.raises(
        FeatureError, match="The masks of the test images of 'fields' have no labelled pixels"
    ):
        results(
            EvaluationPlan(protocol="segmentation", data=(str(masked_folder),), gsd_m=1.0),
            [ColourHistogram()],
        )


def test_a_mask_of_another_size_is_skipped_and_named(masked_folder):
    Image.new("L", (40, 40), 1).save(masked_folder / "test" / "masks" / "test0.png")
    found = results(
        EvaluationPlan(protocol="segmentation", data=(str(masked_folder),), gsd_m=1.0), [ColourHistogram()]
    )[0]
    assert found.count == 3 and "its mask 40 x 40" in found.skipped[0]


@pytest.mark.parametrize(("name", "classes"), [("atlanta_buildings", 2), ("nc_landcover", 7)])
def test_scene_masks_are_aligned_with_their_images(shared_data, name, classes):
    found = open_masked(DataSpec(name), (shared_data,))
    assert len(found.classes) == classes
    assert len(found.rows("train")) > 2 * 5 and len(found.rows("test")) >= 10
    pieces = [found.read(row) for row in range(len(found.names))]
    assert all(piece.image.shape[1:] == piece.classes.shape for piece in pieces)
    counts = np.bincount(np.concatenate([piece.classes.ravel() for piece in pieces]), minlength=256)
    if name == "atlanta_buildings":
        assert 0.02 < counts[1] / counts[:2].sum() < 0.3
        assert found.gsd_m[0] == pytest.approx(0.5, rel=0.01)
    else:
        assert counts[:7].sum() > 2_000 and counts[UNLABELLED] > counts[:7].sum()


def test_val_is_used_as_test_only_without_test(masked_folder):
    write_pair(masked_folder / "val", "val0", seed=50)
    assert not any("val0" in name for name in open_masked(DataSpec(str(masked_folder)), ()).names)
    (masked_folder / "test").rename(masked_folder.parent / "laid aside")
    found = open_masked(DataSpec(str(masked_folder)), ())
    assert {found.names[row].partition("@")[0] for row in found.rows("test")} == {"val/images/val0.png"}
