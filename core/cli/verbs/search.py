"""`python -m core search`: find the rows of a table most like a row, a place, a picture or words."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...atlas import EmbeddingTable, open_table
from ...atlas.search.listing import row_of, rows_of
from ...atlas.search.neighbors import Neighbors, example_query, nearest
from ...errors import UsageError
from ...units import metres

if TYPE_CHECKING:
    from ...atlas.analysis.words import WordQuery
    from ...atlas.search.index import ApproximateIndex

_EPILOG = """examples:
  python -m core search tables/scene --row 12 --k 20
  python -m core search tables/globe --lonlat 12.5,41.9 --json
  python -m core search tables/scene --image photo.png --where "recon_loss_high > 0.1"
  python -m core search tables/scene --row 12 --row 13 --minus 40    more like these two, less like that one
  python -m core search tables/millions --row 12 --index
  python -m core search tables/globe --words Timbuktu                    like the ground at a named place
  python -m core search tables/scene --words forest --labels landcover.gpkg    like a class of your labels
  python -m core search tables/scene --words "a harbour" --text-encoder clip/text_model.onnx
  python -m core search rasters/scene.patches.tif --lonlat 12.5,41.9    patches like the one at this place"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "search",
        help="find the most similar places in a table",
        description="Find the rows of a table with the highest cosine similarity. "
        "The search is exact unless --index is given.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "table",
        nargs="+",
        metavar="TABLE",
        help="folder or file of embeddings of any known product: Parquet, GeoTIFF, Zarr, NumPy; "
        "several are read as one",
    )
    # Otherwise argparse takes "-122.4,37.7" for an option.
    parser._negative_number_matcher = re.compile(r"^-\d[\d.,-]*$")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument(
        "--row",
        action="append",
        metavar="ID",
        help="a unique_id of the table, or a row number; repeat it to search by several rows",
    )
    query.add_argument("--lonlat", metavar="LON,LAT", help="the row closest to this place")
    query.add_argument(
        "--image", type=Path, metavar="FILE", help="a picture, embedded with the model of the table"
    )
    query.add_argument(
        "--words",
        metavar="WORDS",
        help="a town or country; with --labels, one of their classes; with --text-encoder, any description",
    )
    by_words = parser.add_mutually_exclusive_group()
    by_words.add_argument(
        "--labels", type=Path, metavar="FILE", help="labels whose classes --words may name (see core label)"
    )
    by_words.add_argument(
        "--text-encoder",
        type=Path,
        metavar="FILE",
        help="ONNX file that turns --words into a vector; its tokenizer.json and the network that made the "
        "table lie beside it",
    )
    parser.add_argument(
        "--column", default="", metavar="NAME", help="column of --labels that holds the classes"
    )
    parser.add_argument(
        "--minus",
        action="append",
        default=[],
        metavar="ID",
        help="a row to search away from; may be repeated",
    )
    parser.add_argument(
        "--where",
        metavar="SQL",
        help="search only rows that match a condition: columns, values, AND, OR, NOT, BETWEEN, IN, LIKE, "
        "IS NULL",
    )
    parser.add_argument("--k", type=int, default=10, metavar="N", help="number of results (default: 10)")
    parser.add_argument(
        "--diversity",
        type=float,
        default=0.0,
        metavar="D",
        help="0 for the closest rows; towards 1, results also differ from each other",
    )
    parser.add_argument(
        "--index",
        action="store_true",
        help="use an approximate index, built beside the table on first use; for millions of rows",
    )
    parser.add_argument(
        "--gsd-m", type=float, metavar="G", help="metres per pixel of --image, if it does not state it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Search and print the neighbours, best first."""
    table = open_table(*args.table)
    for problem in (*table.notes, *table.stored.problems):
        print(problem, file=sys.stderr)
    among = None
    if args.where:
        among = np.zeros(len(table), bool)
        among[table.rows_where(args.where)] = True
    if not args.words and (args.labels or args.text_encoder or args.column):
        raise UsageError("--labels, --column and --text-encoder belong to --words: say what to look for.")
    rows = _rows_asked(table, args, among)
    less = [table.row_of(text) for text in args.minus]
    _require_comparable(table, among, [*rows, *less])
    exclude = [*rows, *less]
    if rows:
        query = example_query(table, rows, less)
    elif args.image is not None:
        query = _turned_away(table, _embed_image(table, args, among), less)
    else:
        meant = _meant(table, args, among)
        print(" ".join(filter(None, [f"Searching for {meant.title}.", meant.note])), file=sys.stderr)
        query = _turned_away(table, meant.vector, less)
        exclude += meant.exclude
    if args.index:
        found = _by_index(table, args).nearest(query, args.k, exclude=exclude)
    else:
        found = nearest(table, query, args.k, exclude=exclude, among=among, diversity=args.diversity)
    if args.json:
        print(
            json.dumps(
                {
                    "table": table.name,
                    "query": _query_json(table, rows, args),
                    "note": found.note,
                    "neighbors": rows_of(table, found),
                }
            )
        )
    else:
        _show(table, found)
    return 0


def _meant(table: EmbeddingTable, args: argparse.Namespace, among: NDArray[np.bool_] | None) -> WordQuery:
    """Turn --words into a query."""
    from ...atlas.analysis.words import query_of_class, query_of_place, query_of_text
    from ...geo.gazetteer import find_places
    from ...geo.tile import GeoError

    if args.text_encoder is not None:
        from ...atlas.search.text_encoder import TextEncoder

        return query_of_text(table, args.words, TextEncoder(args.text_encoder))
    if args.labels is None:
        try:
            place = find_places(args.words, 1)[0]
        except GeoError as problem:
            raise UsageError(
                f"{problem} --words can also name a class (with --labels FILE), or describe a picture if the "
                "network that made the table has a text half (with --text-encoder FILE)."
            ) from None
        return query_of_place(table, place, among)
    from ...atlas.labelling.reading import LabelColumns, read_labels
    from ...atlas.labelling.sampling import class_marks, sample

    samples = sample(table, read_labels(args.labels, "", LabelColumns(args.column, "class")))
    return query_of_class(table, args.words, class_marks(samples))


def _by_index(table: EmbeddingTable, args: argparse.Namespace) -> ApproximateIndex:
    """Open the index beside a table, or build it. Raises UsageError for what only the exact search does."""
    from ...atlas.search.index import open_index

    if args.where or args.diversity:
        raise UsageError(
            "--index always searches the whole table: leave out --where and --diversity, or --index."
        )
    print(
        "Opening the index. If there is none, it is built, which takes minutes for a million rows.",
        file=sys.stderr,
    )
    return open_index(table)


def _require_comparable(table: EmbeddingTable, among: NDArray[np.bool_] | None, rows: list[int]) -> None:
    """Raise TableError unless the searched rows and the query rows come from one model and recipe."""
    if among is None:
        return table.require_one_model()
    considered = among.copy()
    considered[rows] = True
    return table.require_one_model(considered)


def _rows_asked(
    table: EmbeddingTable, args: argparse.Namespace, among: NDArray[np.bool_] | None
) -> list[int]:
    """Return the query rows; none if the query is a picture or words."""
    if args.row is not None:
        rows = [table.row_of(text) for text in args.row]
        for text, row in zip(args.row, rows, strict=True):
            if not table.stored.usable[row]:
                raise UsageError(f"Row {text} has no usable vector: choose another one.")
        return rows
    if args.lonlat is None:
        return []
    lon, lat = _place(args.lonlat)
    row = table.nearest_place(lon, lat, among)
    print(_how_far(table, row, lon, lat), file=sys.stderr)
    return [row]


def _place(text: str) -> tuple[float, float]:
    try:
        lon, lat = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--lonlat must be longitude and latitude in degrees, such as 12.5,41.9; {text!r:.40} is not."
        ) from None
    return lon, lat


def _how_far(table: EmbeddingTable, row: int, lon: float, lat: float) -> str:
    """Say how far the query row is from the given place, and whether its tile covers that place."""
    away_km = table.distance_km(row, lon, lat)
    one = table.columns.select(["gsd_m", "image_size"]).slice(row, 1).to_pylist()[0]
    start = f"The search starts from row {row}, {metres(1000 * away_km)} from that place"
    if not one["gsd_m"] or not one["image_size"]:
        return f"{start}."
    side_km = one["gsd_m"] * one["image_size"] / 1000
    if away_km <= side_km / math.sqrt(2):
        return f"{start}, inside its tile."
    return (
        f"{start}: its tile, {metres(1000 * side_km)} across, does not cover that place, "
        "but the table has nothing nearer."
    )


def _turned_away(
    table: EmbeddingTable, vector: NDArray[np.floating], less: list[int]
) -> NDArray[np.floating]:
    """Turn a query (d,) away from some rows: twice its direction minus their mean direction."""
    if not less:
        return vector
    return 2 * vector / max(float(np.linalg.norm(vector)), 1e-12) - table.unit_rows(less).mean(axis=0)


def _embed_image(
    table: EmbeddingTable, args: argparse.Namespace, among: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """Embed a picture in the same way as the searched rows of the table.

    A picture that does not state its GSD gets the most frequent one of these rows.
    """
    from ...atlas.formats.patch_raster import POOLING
    from ...engine.embedding.query import embed_like

    recipes = table.columns.select(
        ["model", "checkpoint_sha256", "pooling", "res_policy", "image_size", "gsd_m"]
    )
    if among is not None and among.any():
        recipes = recipes.filter(pa.array(among))
    counted = Counter(recipes["gsd_m"].to_pylist()).most_common()
    most = counted[0][0]
    like = recipes.slice(recipes["gsd_m"].to_pylist().index(most), 1).to_pylist()[0]
    if len(counted) > 1 and args.gsd_m is None and most is not None:
        print(
            f"The table mixes {len(counted)} GSDs: a picture that does not state its GSD is assumed to have "
            f"the most frequent one, {metres(most)} (change it with --gsd-m).",
            file=sys.stderr,
        )
    if like["pooling"] == POOLING:
        print(
            "The table's rows are patches: the picture is represented by the mean of its patches.",
            file=sys.stderr,
        )
    return embed_like(like, args.image, args.gsd_m)


def _query_json(table: EmbeddingTable, rows: list[int], args: argparse.Namespace) -> dict[str, Any]:
    """Describe the query for --json: one or more rows, words or a picture, and the distance of a place."""
    if args.words is not None:
        return {"words": args.words}
    if not rows:
        return {"image": args.image.name}
    if len(rows) > 1:
        return {"rows": [{"row": row, **row_of(table, row)} for row in rows]}
    away = (
        {}
        if args.lonlat is None
        else {"distance_km": round(table.distance_km(rows[0], *_place(args.lonlat)), 3)}
    )
    return {"row": rows[0], **row_of(table, rows[0]), **away}


def _show(table: EmbeddingTable, found: Neighbors) -> None:
    if found.note:
        print(found.note, file=sys.stderr)
    print(f"{'row':>9}  {'cosine':>7}  {'longitude':>10}  {'latitude':>9}  what")
    for one in rows_of(table, found):
        place = (
            "{:>10.4f}  {:>9.4f}".format(one["centre_lon"], one["centre_lat"])
            if one["centre_lon"] is not None
            else f"{'-':>10}  {'-':>9}"
        )
        same = "  (the same picture)" if one["duplicate"] else ""
        name = one["product_id"] or one["unique_id"]
        print(f"{one['row']:>9}  {one['similarity']:>7.4f}  {place}  {name}{same}")
