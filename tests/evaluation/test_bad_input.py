"""The verb on invalid sets: one line with a remedy, exit code 2, and earlier results are kept."""

import csv
import shutil

import pytest

from core.cli.entry import main
from core.evaluation.cache import Cache
from core.evaluation.plan import EvaluationPlan
from core.evaluation.running import evaluate


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_CACHE", str(tmp_path / "cache"))


def empty_class(folder):
    (folder / "Desert").mkdir()


def single_class(folder):
    for name in ("Forest", "River"):
        shutil.rmtree(folder / name)


def labels_that_do_not_match(folder):
    rows = [
        (f"Forest/Forest_{n}.png", "Forest" if n < 8 else "forest", "train" if n < 8 else "test")
        for n in range(12)
    ]
    rows += [(f"River/River_{n}.png", "River", "train") for n in range(12)]
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "split"), *rows])


def unreadable_class(folder):
    for image in (folder / "Town").glob("*.png"):
        image.write_bytes(b"not a picture")


@pytest.mark.parametrize(
    ("spoil", "more", "message"),
    [
        (empty_class, (), "Class folder 'Desert' of 'set' has no images; add some, or remove the folder."),
        (single_class, (), "'set' has the single class 'Town'"),
        (
            labels_that_do_not_match,
            (),
            "class 'forest' is in the test images but not in the train images; use the same spelling",
        ),
        (
            unreadable_class,
            (),
            "None of the train images of class 'Town' of 'set' can be read. "
            "The first error: 'Town/Town_0.png' cannot be read",
        ),
        (
            lambda folder: None,
            ("--k", "99"),
            "k is 99 but the gallery holds 33 images; choose k from 1 to 33",
        ),
        (lambda folder: None, ("--protocol", "segmentation"), "has 0 pairs of image and mask"),
        (
            lambda folder: None,
            ("--compare",),
            "--compare needs two or more models; name them with --model.",
        ),
        (
            lambda folder: None,
            ("--protocol", "segmentation", "--duplicates"),
            "--duplicates searches labelled images",
        ),
    ],
)
def test_invalid_sets_give_one_line_and_exit_code_two(class_folders, capsys, spoil, more, message):
    spoil(class_folders)
    assert main(["evaluate", str(class_folders), "--model", "colour_histogram", "--gsd-m", "1", *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_results_before_an_error_are_kept(index_zip, network, make_network, tmp_path):
    cache = Cache(tmp_path / "cache")
    with pytest.raises(
        Exception, match=r"Model 'nan_net' gives values that are not finite for image '.*\.png'"
    ):
        list(
            evaluate(
                EvaluationPlan(data=(str(index_zip),)),
                [network, make_network("nan_net", broken=True)],
                folders=(),
                cache=cache,
            )
        )
    assert [result.recipe.model for result in cache.results()] == ["fake"]


@pytest.mark.parametrize("option", ["--cache", "--out"])
def test_unwritable_folder_is_refused_before_anything_is_computed(class_folders, tmp_path, capsys, option):
    (tmp_path / "taken").write_text("a file")
    assert (
        main(
            [
                "evaluate",
                str(class_folders),
                "--model",
                "colour_histogram",
                option,
                str(tmp_path / "taken" / "below"),
            ]
        )
        == 2
    )
    out, err = capsys.readouterr()
    assert out == "" and "accuracy" not in err
    assert f"The folder of {option} cannot be written" in err
