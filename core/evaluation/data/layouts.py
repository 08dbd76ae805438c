"""Layouts of labelled sets on disk, and the classes, splits and GSDs that they state.

There are four: a zip or folder with `index.csv` (columns file, label, optionally split and gsd_m), one
folder per class, train/test folders that contain one folder per class, and WebDataset shards. Split lists
beside the images (train.txt, val-eurosat.txt, eurosat-test.txt ...) take precedence over a random split. In
every layout, val is used as test if there is no test, and ignored otherwise.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from ..errors import LabelledSetError
from .published import PublishedSet
from .shards import CLASS_SUFFIX, MAX_CLASS_BYTES, split_of
from .splits import listed_splits
from .storage import ImageStore, is_image

MAX_ROWS = 1_000_000
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
}


@dataclass(frozen=True)
class SetListing:
    """The images of a layout as parallel columns, and the origin of the split ("" without one).

    `stated` is True if labels or splits come from a file and not only from paths.
    """

    files: list[str]
    labels: list[str]
    splits: list[str]
    gsd_m: list[float]
    origin: str
    stated: bool = False

    def digest(self) -> str:
        """Return the hash of stated labels and splits (16 hexadecimal digits), "" if paths state them all."""
        if not self.stated:
            return ""
        rows = sorted(zip(self.files, self.labels, self.splits, strict=True))
        return hashlib.sha256("\n".join("\0".join(row) for row in rows).encode()).hexdigest()[:16]


def listed(store: ImageStore, title: str, known: PublishedSet | None, labelled: bool) -> SetListing:
    """List the images of a set by its index.csv, at the top or in the only folder, else by its folders.

    Raises LabelledSetError with a remedy.
    """
    if store.has_shards:
        return _from_shards(store, title)
    tops = {name.split("/")[0] for name in (*store.names, *store.folders)}
    for root in ("", *(f"{top}/" for top in tops if len(tops) == 1)):
        if f"{root}index.csv" in store.names:
            return _from_index(store, root, title, labelled)
    return _from_folders(store, title, known, labelled)


def _from_index(store: ImageStore, root: str, title: str, labelled: bool) -> SetListing:
    needed = {"file", "label"} if labelled else {"file"}
    rows = _rows(store.read(f"{root}index.csv"), title, needed)
    splits = ["val" if row.get("split") == "validation" else row.get("split", "") for row in rows.values()]
    has_splits = any(splits)
    odd = sorted(set(splits) - {"train", "test", "val", ""})
    if odd:
        raise LabelledSetError(f"The index.csv of '{title}' has the splits {odd}; use train and test.")
    seen: set[str] = set()
    for (number, row), split in zip(rows.items(), splits, strict=True):
        if not all(row[column] for column in needed):
            raise LabelledSetError(
                f"Row {number} of the index.csv of '{title}' has no file or no label; fill it in."
            )
        if row["file"] in seen:
            raise LabelledSetError(
                f"Row {number} of the index.csv of '{title}' lists '{row['file'][-80:]}' a second time; "
                "keep one row per image."
            )
        if has_splits and not split:
            raise LabelledSetError(
                f"Row {number} of the index.csv of '{title}' has no split, but other rows do; "
                "write train or test."
            )
        seen.add(row["file"])
    files, labels = (
        [root + row["file"] for row in rows.values()],
        [row.get("label", "") for row in rows.values()],
    )
    as_folders = all(
        PurePosixPath(file).parent.name == label for file, label in zip(files, labels, strict=True)
    )
    gsd_m = [_number(row.get("gsd_m"), title) for row in rows.values()]
    return SetListing(
        files,
        labels,
        _without_val(splits),
        gsd_m,
        "index.csv" if has_splits else "",
        has_splits or not as_folders,
    )


def _from_shards(store: ImageStore, title: str) -> SetListing:
    """List images with the class in the file beside each; shards state splits by their names, or none."""
    files = [name for name in store.names if is_image(name)]
    splits = [split_of(file) for file in files]
    if len({bool(split) for split in splits}) > 1:
        raise LabelledSetError(
            f"Only some shards of '{title}' have train, val or test in their name; "
            "rename the others, or move them away."
        )
    labels = [_class_beside(store, file, title) for file in files]
    unknown_gsd = [float("nan")] * len(files)
    origin = "names of shards" if any(splits) else ""
    return SetListing(files, labels, _without_val(splits), unknown_gsd, origin, stated=True)


def _class_beside(store: ImageStore, file: str, title: str) -> str:
    name = str(PurePosixPath(file).with_suffix(CLASS_SUFFIX))
    try:
        label = store.read(name)[:MAX_CLASS_BYTES].decode().strip()
    except (LabelledSetError, UnicodeDecodeError):
        label = ""
    if not label:
        raise LabelledSetError(
            f"'{file[-80:]}' of '{title}' has no class: a shard holds a text {CLASS_SUFFIX} with the name of "
            "each image."
        )
    return label


def _rows(content: bytes, title: str, needed: set[str]) -> dict[int, dict[str, str]]:
    """Return the rows of a table by number, stripped and without empty rows.

    Raises LabelledSetError for a table without the `needed` columns or with more than MAX_ROWS rows.
    """
    try:
        table = csv.DictReader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""))
        columns = {name.strip() for name in table.fieldnames or ()}
        if not needed <= columns:
            raise LabelledSetError(
                f"The index.csv of '{title}' needs the columns {sorted(needed)}; "
                f"it has {', '.join(sorted(columns))[:200] or 'none'}."
            )
        numbered = dict(enumerate(islice(table, MAX_ROWS + 1), start=2))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise LabelledSetError(
            f"The index.csv of '{title}' is not a table ({problem}); save it as UTF-8 CSV."
        ) from problem
    if len(numbered) > MAX_ROWS:
        raise LabelledSetError(f"The index.csv of '{title}' has more than {MAX_ROWS:,} rows; split the set.")
    long = next((number for number, row in numbered.items() if None in row), None)
    if long is not None:
        raise LabelledSetError(
            f"Row {long} of the index.csv of '{title}' has more cells than its header; "
            "put cells that contain commas in quotes."
        )
    rows = {
        number: {name.strip(): (cell or "").strip() for name, cell in row.items()}
        for number, row in numbered.items()
    }
    return {number: row for number, row in rows.items() if any(row.values())}


def _from_folders(store: ImageStore, title: str, known: PublishedSet | None, labelled: bool) -> SetListing:
    root = _class_root(store)
    images = [name for name in store.names if is_image(name) and name.startswith(root)]
    parts = [PurePosixPath(name[len(root) :]).parts for name in images]
    folders = sorted({p[0] for p in parts if len(p) > 1} | {f[len(root) :] for f in _children(store, root)})
    if images and not folders and not labelled:
        return SetListing(images, [""] * len(images), [""] * len(images), [float("nan")] * len(images), "")
    if images and not folders:
        raise LabelledSetError(
            f"'{title}' has images but no class folders; put them in one folder per class."
        )
    as_splits = bool(folders) and {folder.lower() for folder in folders} <= set(SPLIT_FOLDERS)
    depth = 1 if as_splits else 0
    listed = [(name, part) for name, part in zip(images, parts, strict=True) if len(part) > depth + 1]
    labels = [part[depth] for _, part in listed]
    inner = {
        f[len(root) :].split("/")[1] for f in store.folders if as_splits and f[len(root) :].count("/") == 1
    }
    empty = sorted((inner if as_splits else set(folders)) - set(labels))
    if empty and labels and labelled:
        raise LabelledSetError(
            f"Class folder '{empty[0]}' of '{title}' has no images; add some, or remove the folder."
        )
    files = [name for name, _ in listed]
    unknown_gsd = [float("nan")] * len(files)
    if as_splits:
        splits = _without_val([SPLIT_FOLDERS[part[0].lower()] for _, part in listed])
        return SetListing(files, labels, splits, unknown_gsd, "train and test folders")
    lists = listed_splits(
        store, [name[len(root) :] for name in files], title, known.list_names if known else ()
    )
    return SetListing(files, labels, list(lists.splits), unknown_gsd, lists.origin, bool(lists.origin))


def _without_val(splits: list[str]) -> list[str]:
    """Use val as test if there is no test; otherwise it stays "val" and is ignored."""
    return splits if "test" in splits else ["test" if split == "val" else split for split in splits]


def _class_root(store: ImageStore) -> str:
    """Return the folder ("" or with a final slash) whose sub-folders are the classes, inside any wrappers."""
    root = ""
    while True:
        inside = _children(store, root)
        pictures = [folder for folder in inside if PurePosixPath(folder).name.lower() == "images"]
        if pictures and not any(
            is_image(name)
            for name in store.names
            if name.startswith(root) and not name.startswith(f"{pictures[0]}/")
        ):
            inside = pictures  # the images are in a folder beside lists and labels
        has_images = any(
            is_image(name) and name.startswith(root) and "/" not in name[len(root) :] for name in store.names
        )
        if has_images or len(inside) != 1 or not _children(store, f"{inside[0]}/"):
            return root
        root = f"{inside[0]}/"


def _children(store: ImageStore, root: str) -> list[str]:
    below = {
        name[: len(root)] + name[len(root) :].split("/")[0]
        for name in store.names
        if "/" in name[len(root) :]
    }
    below |= set(store.folders)
    return sorted(
        f for f in below if f.startswith(root) and f != root.rstrip("/") and "/" not in f[len(root) :]
    )


def _number(text: str | None, title: str) -> float:
    if not text:
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise LabelledSetError(f"The index.csv of '{title}' has a GSD of '{text}'; write metres as a number.")
    if not value > 0:
        raise LabelledSetError(f"The index.csv of '{title}' has a GSD of {text} m; it must be above 0.")
    return value
