"""Label files: GeoJSON, GeoPackage, CSV and Parquet with points or polygons and a class or a number.

Files are untrusted: `parse` runs in a child process with limits and returns plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from ...untrusted import Limits, call
from ..errors import LabelError

Kind = Literal["class", "number"]
MOST_BYTES = 300 * 2**20
LIMITS = Limits(cpu_s=60.0, wall_s=120.0, memory_mb=3072, answer_mb=1024)


@dataclass(frozen=True)
class LabelColumns:
    """Which columns of a label file to use; "" chooses by name or by the only candidate.

    `column` holds the labels, `region` (optional) the region of each label for leave-one-region-out
    validation. `kind` "" takes text and integers for classes and other numbers for numbers. `crs`
    replaces what the file states, if anything.
    """

    column: str = ""
    kind: Kind | Literal[""] = ""
    region: str = ""
    crs: str = ""

    def __post_init__(self) -> None:
        """Raise LabelError for an unknown kind."""
        if self.kind not in ("class", "number", ""):
            raise LabelError(f"Labels are a class or a number; {self.kind!r:.40} is neither.")


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels with their place: `shapes` (m,) points and polygons in WGS84 degrees, `values` (m,) float64.

    Values are numbers, or positions in `classes`; they come from `column`, one of `columns`. `regions` (m,)
    are positions in `region_names`, -1 without one. `problems` say what was repaired or left out.
    """

    name: str
    column: str
    columns: tuple[str, ...]
    kind: Kind
    shapes: NDArray[Any]
    values: NDArray[np.float64]
    classes: tuple[str, ...]
    regions: NDArray[np.int64]
    region_names: tuple[str, ...]
    problems: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.shapes)


def read_labels(source: Path | bytes, name: str = "", columns: LabelColumns = LabelColumns()) -> Labels:
    """Read a label file, or its bytes, in a child process.

    Raises LabelError for a file that is not a label file, states no CRS, or has no usable label or column.
    """
    name = name or (source.name if isinstance(source, Path) else "labels")
    size = len(source) if isinstance(source, bytes) else _size(source)
    if size > MOST_BYTES:
        raise LabelError(
            f"{name} is larger than {MOST_BYTES // 2**20} MB: crop it, or simplify its polygons."
        )
    given = source if isinstance(source, bytes) else str(source.absolute())
    from . import parsing

    plain = call(
        parsing.parse, given, name, columns.column, columns.kind, columns.region, columns.crs,
        name=name, error=LabelError, limits=LIMITS,
    )  # fmt: skip
    ends = np.cumsum(plain["lengths"])
    starts = ends - plain["lengths"]
    data = plain["wkb"]
    shapes = shapely.from_wkb([data[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
    return Labels(
        name, plain["column"], tuple(plain["columns"]), plain["kind"], np.asarray(shapes, object),
        plain["values"], tuple(plain["classes"]), plain["regions"], tuple(plain["region_names"]),
        tuple(plain["problems"]),
    )  # fmt: skip


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        raise LabelError(f"There is no file {path.name}: check the path.") from None
