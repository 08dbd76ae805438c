"""Fingerprints of sets: they depend on images, and on labels and splits stated in a file."""

import csv
import io
import shutil
import zipfile

import pytest

from core.evaluation.cache import Cache
from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.data.published import LABELLED_TABLE
from core.evaluation.plan import EvaluationPlan
from core.evaluation.recorded_numbers import read_numbers
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.subjects import ColourHistogram


def number(plan, cache):
    return next(
        e for e in evaluate(plan, [ColourHistogram()], folders=(), cache=cache) if isinstance(e, Result)
    )


def print_of(data, folders=(), limit=None):
    return open_set(DataSpec(str(data), limit), folders).fingerprint


def with_index(index_zip, path, change):
    """The same images with every row (file, label, split, gsd_m) of the index changed."""
    with zipfile.ZipFile(index_zip) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "index.csv":
                head, *rows = csv.reader(io.StringIO(content.decode()))
                text = io.StringIO()
                csv.writer(text).writerows([head, *(change(row) for row in rows)])
                content = text.getvalue().encode()
            new.writestr(name, content)
    return path


def relabelled(row):
    return [row[0], "Town", *row[2:]] if "Forest_3" in row[0] else row


def resplit(row):
    return [*row[:2], "test", row[3]] if "Forest_3" in row[0] else row


@pytest.mark.parametrize("change", [relabelled, resplit])
def test_changed_label_or_split_changes_the_fingerprint(index_zip, tmp_path, change):
    assert print_of(with_index(index_zip, tmp_path / "same.zip", list)) == print_of(index_zip)
    assert print_of(with_index(index_zip, tmp_path / "mended.zip", change)) != print_of(index_zip)


def test_changed_labels_are_not_answered_from_the_cache(index_zip, tmp_path):
    cache, plan = Cache(tmp_path / "cache"), EvaluationPlan(data=(str(index_zip),))
    first = number(plan, cache)
    mended = with_index(
        index_zip,
        tmp_path / "mended.zip",
        lambda row: [row[0], "River" if row[2] == "test" else row[1], *row[2:]],
    )
    shutil.move(mended, index_zip)
    assert number(plan, cache).value != first.value


def test_split_lists_count_and_folder_names_alone_do_not(class_folders):
    plain = print_of(class_folders)
    files = [f"{file.parent.name}/{file.name}" for file in sorted(class_folders.rglob("*.png"))]

    def lists(tests):
        (class_folders.parent / "set-test.txt").write_text("\n".join(tests))
        (class_folders.parent / "set-train.txt").write_text(
            "\n".join(name for name in files if name not in tests)
        )
        return print_of(class_folders)

    one, other = lists(files[::6]), lists(files[1::6])
    assert len({plain, one, other}) == 3
    rows = [(name, name.split("/")[0]) for name in files]
    with (class_folders / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    assert print_of(class_folders) == plain  # an index that adds nothing to the folders


@pytest.mark.parametrize("name", LABELLED_TABLE)
def test_packs_behind_recorded_results_keep_their_fingerprints(name, shared_data):
    recorded = {(r.recipe.limit, r.recipe.data_hash) for r in read_numbers() if r.recipe.data == name}
    assert recorded
    assert recorded == {(limit, print_of(name, (shared_data,), limit)) for limit, _ in recorded}
