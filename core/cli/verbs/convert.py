"""`python -m core convert`: write embeddings of any product as GeoParquet, COG, Zarr or PMTiles."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...files import write_atomic

if TYPE_CHECKING:
    from ...atlas import EmbeddingTable
    from ...atlas.store.grid_rows import Bounds


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "convert",
        help="write embeddings of any product as GeoParquet, COG, Zarr or PMTiles",
        description="Read embeddings of any product (Parquet, GeoTIFF, Zarr, NumPy) and write them as one "
        "GeoParquet 1.1 file, a cloud-optimised GeoTIFF with a QGIS style, or a Zarr store with geoemb: "
        "attributes; vectors are not changed. PMTiles hold outlines and colours for a web map, no vectors.",
    )
    parser._negative_number_matcher = re.compile(r"^-\d[\d.,-]*$")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="file or folder of embeddings")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="what to write: FILE.parquet, FILE.tif, FILE.zarr or FILE.pmtiles",
    )
    parser.add_argument("--bounds", metavar="W,S,E,N", help="only this area, in degrees")
    parser.add_argument("--stac", action="store_true", help="write a STAC item and collection beside it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the file and say what is in it."""
    from ...atlas import open_table
    from ...atlas.exports import pmtiles
    from ...atlas.publishing.cog import write_cog
    from ...atlas.publishing.geozarr import attributes, write_zarr
    from ...atlas.publishing.stac import write_stac
    from ...atlas.publishing.window import read_window

    bounds, out = _bounds(args.bounds), args.out
    kind = "chip"
    if out.suffix == ".pmtiles":
        if args.stac:
            raise UsageError("PMTiles hold no vectors to describe: leave out --stac.")
        table = _whole_table(args.source, bounds)
        write_atomic(out, pmtiles(table, {}))
    elif out.suffix == ".parquet":
        _write_parquet(_whole_table(args.source, bounds), out)
        table = open_table(out)
    elif out.suffix in (".tif", ".zarr"):
        window = read_window(args.source, bounds)
        (write_cog if out.suffix == ".tif" else write_zarr)(window, out)
        kind = attributes(window)["geoemb:type"]
        table = open_table(out)
    else:
        raise UsageError(
            f"{out.name} does not name a known format: end --out in .parquet, .tif, .zarr or .pmtiles."
        )
    written = [out, *([out.with_suffix(".qml")] if out.suffix == ".tif" else [])]
    if args.stac:
        written += write_stac(table, out, kind=kind)
    for note in table.notes:
        print(note, file=sys.stderr)
    if args.json:
        print(
            json.dumps(
                {"files": [str(path) for path in written], "rows": len(table), "dimensions": table.dim}
            )
        )
    else:
        print(f"{len(table):,} vectors of {table.dim} values: {', '.join(path.name for path in written)}")
    return 0


def _whole_table(source: Path, bounds: Bounds | None) -> EmbeddingTable:
    from ...atlas import open_table

    table = open_table(source, bounds=bounds)
    if any(note.startswith("Only every") for note in table.notes):
        raise UsageError(
            f"{source.name} is too large to be written as a whole: choose an area with --bounds."
        )
    return table


def _write_parquet(table: EmbeddingTable, out: Path) -> None:
    import pyarrow as pa

    from ...atlas.schema import VECTOR, TableInfo, vector_column
    from ...atlas.store.shards import write_shard

    missing = ~table.stored.usable
    rows = table.columns.append_column(VECTOR, vector_column(table.vectors, missing))
    models = [str(name) for name in table.columns["model"].unique().to_pylist() if name]
    info = TableInfo(models[0] if len(models) == 1 else "several models", None, "", table.dim)
    write_shard(out, pa.table(rows), info)


def _bounds(text: str | None) -> Bounds | None:
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--bounds {text} is not four numbers: give west,south,east,north in degrees."
        ) from None
    return west, south, east, north
