"""`python -m core label`: learn from a file of labels and map every row of a table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ...atlas import open_table
from ...files import write_atomic

_EPILOG = """examples:
  python -m core label tables/scene landcover.gpkg --out maps/landcover
  python -m core label tables/scene trees.csv --column height --as number --method forest --out maps/height
  python -m core label tables/scene buildings.geojson --rule share --class building --out maps/buildings
  python -m core label tables/scene fields.parquet --column crop --region-column county --out maps/crops

DIR then holds map.parquet (GeoParquet: prediction, probabilities, uncertainty, labels, held-out predictions),
map.tif and, for classes, classes.tif (COG), confusion.csv and report.json."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "label",
        help="learn from a file of labels and map every row of a table",
        description="Place labels (GeoJSON, GeoPackage, CSV or Parquet; points or polygons; a class or a "
        "number) on the rows of a table, cross-validate at random and by spatial block, and map every row "
        "with its uncertainty.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "table",
        metavar="TABLE",
        help="folder or .parquet file of embeddings, or a raster of patch embeddings",
    )
    add("labels", type=Path, metavar="LABELS", help="file of labels")
    add("--out", type=Path, metavar="DIR", help="folder for the map and its report (default: only print)")
    add("--json", action="store_true", help="print one JSON object")
    _add_reading(parser)
    _add_learning(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("labels and tiles").add_argument
    add("--column", default="", metavar="NAME", help="column that holds the labels")
    add("--as", dest="kind", choices=("class", "number"), default="", help="what the column holds")
    add(
        "--crs",
        default="",
        metavar="CRS",
        help="coordinate system, where the file states none or a wrong one",
    )
    add(
        "--rule",
        choices=("majority", "share"),
        default="majority",
        help="a tile gets the class that covers most of it, or the share that one class covers",
    )
    add("--class", dest="of_class", default="", metavar="NAME", help="the class of --rule share")
    add(
        "--min-share",
        type=float,
        default=0.5,
        metavar="S",
        help="smallest share of a tile that its label must cover (default: 0.5)",
    )
    add(
        "--distance-m",
        type=float,
        default=0.0,
        metavar="M",
        help="how far a point outside all tiles may be from the centre of the nearest one",
    )
    add("--background", default="", metavar="NAME", help="class of tiles that no label touches")


def _add_learning(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("learning and validation").add_argument
    add(
        "--method",
        choices=("linear", "knn", "forest", "mlp"),
        default="linear",
        help="logistic or ridge regression (linear), nearest neighbours, random forest, small network",
    )
    add("--folds", type=int, default=5, metavar="N", help="folds of the cross-validation (default: 5)")
    add(
        "--block-km",
        type=float,
        metavar="KM",
        help="side of a spatial block (default: a tenth of the extent of the labels)",
    )
    add("--region-column", default="", metavar="NAME", help="leave out one region of this column at a time")
    add("--seed", type=int, default=0, metavar="N", help="seed of folds and methods (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Read, sample, validate and map, with progress on standard error; Ctrl-C leaves nothing half written."""
    from ...atlas.labelling.mapping import label_map
    from ...atlas.labelling.reading import LabelColumns, read_labels
    from ...atlas.labelling.report import report
    from ...atlas.labelling.sampling import SamplingSpec, sample
    from ...atlas.labelling.validation import ModelSpec

    sampling = SamplingSpec(args.rule, args.min_share, args.distance_m, args.background, args.of_class)
    spec = ModelSpec(args.method, args.folds, args.block_km, args.seed)
    table = open_table(args.table)
    labels = read_labels(args.labels, "", LabelColumns(args.column, args.kind, args.region_column, args.crs))
    samples = sample(table, labels, sampling)
    steps = label_map(table, samples, spec)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found = end.value
            break
        print(f"\r{step.what}: {step.done} of {step.total}".ljust(78), end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    plain = {"table": table.name, "labels": labels.name, "labels_read": len(labels), **report(found)}
    if args.out is not None:
        _write(args.out, table, found, plain)
    if args.json:
        print(json.dumps(plain))
    else:
        _show(plain)
    return 0


def _write(out: Path, table: Any, found: Any, plain: dict[str, Any]) -> None:
    """Write the map in each format; without places only the report."""
    from ...atlas.exports import cog, geoparquet
    from ...atlas.labelling.report import accuracy_csv, class_raster, columns, raster_columns

    about = {"table": table.name, "vectors": " and ".join(table.models), **plain}
    write_atomic(out / "report.json", (json.dumps(plain, indent=1) + "\n").encode())
    if found.probability is not None:
        write_atomic(out / "confusion.csv", accuracy_csv(found))
        write_atomic(out / "classes.tif", class_raster(table, found))
    write_atomic(out / "map.parquet", geoparquet(table, columns(table, found), about=about))
    write_atomic(out / "map.tif", cog(table, raster_columns(found), about=about))
    print(f"Written to {out}: {', '.join(sorted(file.name for file in out.iterdir()))}.", file=sys.stderr)


def _show(plain: dict[str, Any]) -> None:
    """Print the accuracy table, areas and remarks."""
    print(f"{plain['method']} on {plain['labelled_tiles']:,} labelled tiles ({plain['label']})")
    for name, way in plain["cross_validation"].items():
        low, high = way["interval_95"]
        numbers = "  ".join(f"{key} {value:.3f}" for key, value in way.items() if isinstance(value, float))
        print(f"  {name:<8} {numbers}  95 %: {low:.3f} to {high:.3f}  ({way['folds']})")
    for record in plain.get("areas", []):
        km2 = "" if record["km2"] is None else f", {record['km2']:,.1f} ± {record['km2_half_width']:,.1f} km2"
        print(f"  {record['class']:<20} {record['share']:7.1%} ± {record['share_half_width']:.1%}{km2}")
    for remark in plain["remarks"]:
        print(remark, file=sys.stderr)
