"""A file of labels to an accuracy table, and then to a map of a million tiles with uncertainty and areas.

    python benchmarks/labels_from_file.py [--rows 1000000] [--polygons 10000] [--dim 192] [--classes 6]
                                          [--methods linear knn] [--profile] [--anyway]

The table is a square of tiles whose vectors belong to classes in patches; the GeoJSON file holds polygons of
the size of a tile with the class of the ground, 5 % of them wrong. "accuracy" is the time from the file to
the accuracy table of random folds, spatial blocks and the learning curve; "map" is the time from there to the
value, uncertainty and area of everything. CPU time includes the child process that reads the file. Measured
only if the load average is at most 0.3, or with --anyway. The last line printed is a JSON object.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import shapely
from _quiet import load_or_leave
from numpy.typing import NDArray

from core.atlas import EmbeddingTable
from core.atlas.labelling.mapping import label_map
from core.atlas.labelling.reading import read_labels
from core.atlas.labelling.sampling import sample
from core.atlas.labelling.validation import ModelSpec
from core.atlas.schema import make_rows

STEP_DEG, PATCH_TILES = 0.001, 25
WRONG = 0.05
ACCURACY_S, MAP_S = 10.0, 5.0


def ground(rows: int, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the class (n,) and the centre (n, 2) of each tile of a square."""
    side = int(np.ceil(np.sqrt(rows)))
    at = np.arange(rows)
    column, row = at % side, at // side
    patches = np.random.default_rng(0).integers(0, classes, (side // PATCH_TILES + 1,) * 2)
    lonlat = STEP_DEG * np.stack([column, row], axis=1).astype(np.float64)
    return patches[row // PATCH_TILES, column // PATCH_TILES], lonlat


def table_of(truth: NDArray[np.int64], lonlat: NDArray[np.float64], dim: int) -> EmbeddingTable:
    """Return a table with a vector around the centre of its class for each tile."""
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((truth.max() + 1, dim), dtype=np.float32)
    vectors = 3 * generator.standard_normal((len(truth), dim), dtype=np.float32)
    vectors += centres[truth]
    half = STEP_DEG / 2
    sides = [*(lonlat.T - half), *(lonlat.T + half)]
    outlines = shapely.to_wkb(shapely.box(*sides))
    columns = {
        "centre_lon": lonlat[:, 0], "centre_lat": lonlat[:, 1], "geometry": pa.array(outlines, pa.binary()),
        "bbox": pa.StructArray.from_arrays([pa.array(s) for s in sides], ["xmin", "ymin", "xmax", "ymax"]),
        "model": pa.array(["benchmark"] * len(truth)),
    }  # fmt: skip
    return EmbeddingTable.from_rows(make_rows(vectors, columns), "benchmark")


def write_labels(path: Path, truth: NDArray[np.int64], lonlat: NDArray[np.float64], count: int) -> None:
    """Write polygons of the size of a tile around random tiles."""
    import geopandas as gpd

    generator = np.random.default_rng(2)
    rows = generator.choice(len(truth), count, replace=False)
    stated = np.where(
        generator.random(count) < WRONG, generator.integers(0, truth.max() + 1, count), truth[rows]
    )
    shapes = shapely.buffer(shapely.points(lonlat[rows]), 0.6 * STEP_DEG, quad_segs=4)
    gpd.GeoDataFrame({"class": [f"class {one}" for one in stated]}, geometry=shapes, crs=4326).to_file(path)


def cpu_s() -> float:
    """Return the CPU seconds of this process and its children, those that ended included."""
    me = psutil.Process()
    own = me.cpu_times()
    running = [child.cpu_times() for child in me.children()]
    return own.user + own.system + own.children_user + own.children_system + sum(
        t.user + t.system for t in running
    )  # fmt: skip


def measured(table: EmbeddingTable, path: Path, method: Any) -> dict[str, Any]:
    """Read, place, validate and map once; return wall and CPU seconds of both parts."""
    start, cpu = time.perf_counter(), cpu_s()
    steps = label_map(table, sample(table, read_labels(path)), ModelSpec(method))
    while next(steps).what != "Mapping every tile":
        pass
    middle, middle_cpu = time.perf_counter(), cpu_s()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    end_s, end_cpu = time.perf_counter(), cpu_s()
    return {
        "method": method,
        "labelled_tiles": len(found.samples),
        "accuracy_s": round(middle - start, 2),
        "accuracy_cpu_s": round(middle_cpu - cpu, 2),
        "map_s": round(end_s - middle, 2),
        "map_cpu_s": round(end_cpu - middle_cpu, 2),
        **{f"accuracy_{way.name}": round(way.measures["accuracy"], 4) for way in found.assessment.ways},
        "within": bool(middle - start <= ACCURACY_S and end_s - middle <= MAP_S),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--polygons", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--methods", nargs="+", default=["linear"])
    parser.add_argument("--profile", action="store_true", help="print where the CPU time goes")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine, too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    truth, lonlat = ground(args.rows, args.classes)
    table = table_of(truth, lonlat, args.dim)
    assert table.stored.usable.all()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.geojson"
        write_labels(path, truth, lonlat, args.polygons)
        for method in args.methods:
            profile = cProfile.Profile(time.process_time)
            if args.profile:
                profile.enable()
            results.append(measured(table, path, method))
            profile.disable()
            if args.profile:
                pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    print(json.dumps({"load": load, "rows": args.rows, "polygons": args.polygons, "results": results}))


if __name__ == "__main__":
    main()
