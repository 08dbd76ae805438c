"""`python -m core search`: find the rows of a table that look most like a row, a place or a picture."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.atlas import EmbeddingTable, open_table
from core.atlas.neighbors import Neighbors, nearest
from core.errors import ExplorerError

if TYPE_CHECKING:
    from core.atlas.index import ApproximateIndex

_EPILOG = """examples:
  python -m core search tables/scene --row 12 --k 20
  python -m core search tables/globe --lonlat 12.5,41.9 --json
  python -m core search tables/scene --image photo.png --where "recon_loss_high > 0.1"
  python -m core search tables/scene --row 12 --minus 40 --minus 41
  python -m core search tables/millions --row 12 --index
  python -m core search rasters/scene.patches.tif --lonlat 12.5,41.9        patches like the one there"""

SHOWN = ("unique_id", "product_id", "centre_lon", "centre_lat", "gsd_m", "recon_loss_low", "recon_loss_high", "pixel_bbox")


class UsageError(ExplorerError):
    """An option that cannot be read."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "search",
        help="find the places of a table that look most alike",
        description="Find the rows of a table whose vectors are closest in direction: exact cosine over every row, unless --index.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "table", nargs="+", metavar="TABLE", help="folder or .parquet file of embeddings, ours or another layout, or a raster of patches; several read as one"
    )
    parser._negative_number_matcher = re.compile(r"^-\d[\d.,-]*$")  # argparse takes "-122.4,37.7" for an option otherwise
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--row", metavar="ID", help="a unique_id of the table, or a row number")
    query.add_argument("--lonlat", metavar="LON,LAT", help="the row closest to this place")
    query.add_argument("--image", type=Path, metavar="FILE", help="a picture, embedded with the table's own model")
    parser.add_argument("--minus", action="append", default=[], metavar="ID", help="a row to look unlike; may be repeated")
    parser.add_argument("--where", metavar="SQL", help="only rows for which this condition holds")
    parser.add_argument("--k", type=int, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument("--diversity", type=float, default=0.0, metavar="D", help="0: the closest; towards 1: different from each other as well")
    parser.add_argument("--index", action="store_true", help="look in an approximate index, built beside the table the first time: for tables of millions")
    parser.add_argument("--gsd-m", type=float, metavar="G", help="metres per pixel of --image, where it does not know")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Search and print the neighbours, best first."""
    table = open_table(*args.table)
    for problem in table.stored.problems:
        print(problem, file=sys.stderr)
    among = None
    if args.where:
        among = np.zeros(len(table), bool)
        among[table.rows_where(args.where)] = True
    row = _row(table, args)
    vector = table.vectors_of([row])[0] if row is not None else _of_image(table, args.image, args.gsd_m)
    less = [table.row_of(text) for text in args.minus]
    query, exclude = _less(table, vector, less), [*([] if row is None else [row]), *less]
    if args.index:
        found = _by_index(table, args).nearest(query, args.k, exclude=exclude)
    else:
        found = nearest(table, query, args.k, exclude=exclude, among=among, diversity=args.diversity)
    if args.json:
        print(json.dumps({"table": table.name, "query": _said(table, row, args), "note": found.note, "neighbors": _rows(table, found)}))
    else:
        _show(table, found)
    return 0


def _by_index(table: EmbeddingTable, args: argparse.Namespace) -> ApproximateIndex:
    """Open the index beside a table, or build it. Raises UsageError for what only the exact search does."""
    from core.atlas.index import open_index

    if args.where or args.diversity:
        raise UsageError("--index finds the closest rows of the whole table: leave --where and --diversity out, or search without it.")
    print("Opening the index; where there is none yet it is built, some minutes for a million rows.", file=sys.stderr)
    return open_index(table)


def _row(table: EmbeddingTable, args: argparse.Namespace) -> int | None:
    """The row that is searched for, None for a picture."""
    if args.row is not None:
        row = table.row_of(args.row)
        if not table.stored.usable[row]:
            raise UsageError(f"Row {args.row} has no usable vector: choose another one.")
        return row
    if args.lonlat is None:
        return None
    try:
        lon, lat = (float(part) for part in args.lonlat.split(","))
    except ValueError:
        raise UsageError(f"--lonlat takes longitude, latitude in degrees, such as 12.5,41.9; {args.lonlat!r:.40} is none.") from None
    return table.nearest_place(lon, lat)


def _less(table: EmbeddingTable, vector: NDArray[np.float32], less: list[int]) -> NDArray[np.float32]:
    """Turn a query away from some rows: twice its direction minus their mean direction."""
    if not less:
        return vector
    from core.atlas.neighbors import unit_rows

    return 2 * vector / max(float(np.linalg.norm(vector)), 1e-12) - unit_rows(table, less).mean(axis=0)


def _of_image(table: EmbeddingTable, file: Path, gsd_m: float | None) -> NDArray[np.float32]:
    """Embed a picture as the table's rows were embedded. Raises UsageError where the table does not say how."""
    from core.engine.query import embed_like

    table.require_one_model()
    first = table.columns.select(["model", "checkpoint_sha256", "pooling", "res_policy", "image_size", "gsd_m"]).slice(0, 1).to_pylist()[0]
    return embed_like(first, file, gsd_m)


def _said(table: EmbeddingTable, row: int | None, args: argparse.Namespace) -> dict[str, Any]:
    return {"image": args.image.name} if row is None else {"row": row, **_one(table, row)}


def _rows(table: EmbeddingTable, found: Neighbors) -> list[dict[str, Any]]:
    pairs = zip(found.rows.tolist(), found.similarity.tolist(), found.duplicate.tolist(), strict=True)
    return [{"row": row, "similarity": round(similarity, 6), "duplicate": duplicate, **_one(table, row)} for row, similarity, duplicate in pairs]


def _one(table: EmbeddingTable, row: int) -> dict[str, Any]:
    return table.columns.select(list(SHOWN)).slice(row, 1).to_pylist()[0]


def _show(table: EmbeddingTable, found: Neighbors) -> None:
    if found.note:
        print(found.note, file=sys.stderr)
    print(f"{'row':>9}  {'cosine':>7}  {'longitude':>10}  {'latitude':>9}  what")
    for one in _rows(table, found):
        place = "{:>10.4f}  {:>9.4f}".format(one["centre_lon"], one["centre_lat"]) if one["centre_lon"] is not None else f"{'-':>10}  {'-':>9}"
        same = "  (the same picture)" if one["duplicate"] else ""
        print(f"{one['row']:>9}  {one['similarity']:>7.4f}  {place}  {one['product_id'] or one['unique_id']}{same}")
