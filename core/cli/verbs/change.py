"""`python -m core change`: where the ground has changed between two dates."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UsageError
from ...files import write_atomic

if TYPE_CHECKING:
    from ...atlas import EmbeddingTable
    from ...atlas.analysis.change import Change

_EPILOG = """examples:
  python -m core change tables/2019 tables/2024 --out changes
  python -m core change scene_2019.tif scene_2024.tif --gsd-m 10 --out changes      embeds both first
  python -m core change stac:https://.../old.json stac:https://.../new.json --online --gsd-m 40 --out changes
  python -m core change tables/all --dates 2019-06-01 2024-01-15                    two dates of one table
  python -m core change tables/june tables/january --reference tables/june_before tables/january_before
  python -m core change scene_2019.tif scene_2024.tif --gsd-m 10 --season --out changes

Scores are cosine distances. With a reference they say how far a place moved beyond the season, 1 for its
median place. The reference is two tables of the same seasons between which nothing changed, or with --season
the scenes themselves.
`core scenes` lists stac: addresses of satellite scenes; take two of the same tile of the satellite's grid.
DIR then holds change.parquet (GeoParquet), change.tif (COG), report.json and, for scenes, both tables."""

SCENES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".vrt")
REMOTE = ("stac:", "https://", "http://")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "change",
        help="where the ground has changed between two dates",
        description="Score every tile by the cosine distance of its vectors at two dates. Give two "
        "tables, two rasters, folders of rasters or satellite scenes (both are embedded first), or one table "
        "with dates.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="the earlier and the later one; or one table with dates")
    add("--out", type=Path, metavar="DIR", help="folder for the map (required for rasters)")
    add("--dates", nargs=2, metavar=("BEFORE", "AFTER"), help="days as YYYY-MM-DD (default: first and last)")
    add("--reference", nargs=2, metavar=("BEFORE", "AFTER"), help="two tables without change between them")
    add(
        "--season",
        action="store_true",
        help="take the scenes themselves for the reference, where most of the ground is unchanged",
    )
    add("--top", type=int, default=10, metavar="N", help="most changed places to list (default: 10)")
    add("--model", metavar="NAME", help="for rasters: the model (default: the default embedding model)")
    add("--gsd-m", type=float, metavar="G", help="for rasters: metres per pixel (default: the raster's own)")
    add("--tile-px", type=int, metavar="P", help="for rasters: side of a tile (default: the model's own)")
    add("--stride-px", type=int, metavar="S", help="for rasters: step between tiles (default: the side)")
    add(
        "--online",
        action="store_true",
        help="allow this command to use the internet, for stac:ITEM and https addresses of COGs",
    )
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Compare, write the map, and list the most changed places."""
    from ...atlas import open_table
    from ...atlas.analysis.change import change

    if args.top < 0:
        raise UsageError("--top must be 0 or more.")
    if args.season and args.reference is not None:
        raise UsageError("--season makes the scenes themselves the reference: leave out --reference.")
    before, after = _both(args)
    reference = (before, after) if args.season else None
    if args.reference is not None:
        reference = open_table(args.reference[0]), open_table(args.reference[1])
    found = change(before, after, reference=reference)
    plain = _report(before, after, found, args.top)
    if args.out is not None:
        _write(args.out, before, found, plain)
    if args.json:
        print(json.dumps(plain))
        return 0
    print(f"{len(found.score):,} places of {before.name} and {after.name}; most changed first")
    print(f"{'score':>7}  {'longitude':>10}  {'latitude':>9}  what")
    for one in plain["most_changed"]:
        place = "{:>10}  {:>9}".format("-", "-")
        if one["lon"] is not None:
            place = f"{one['lon']:>10.4f}  {one['lat']:>9.4f}"
        usual = "" if one["percentile"] is None else f"  (above {one['percentile']:.0%} of the reference)"
        print(f"{one['score']:>7.4f}  {place}  {one['before']}{usual}")
    return 0


def _both(args: argparse.Namespace) -> tuple[EmbeddingTable, EmbeddingTable]:
    """Return the tables of the earlier and of the later date; embeds rasters."""
    from ...atlas import open_table
    from ...atlas.analysis.change import first_and_last, on_date

    if len(args.sources) > 2:
        raise UsageError("Give two sources, the earlier one first, or one table with dates.")
    if len(args.sources) == 1:
        table = open_table(args.sources[0])
        if args.dates is None:
            return first_and_last(table)
        return on_date(table, args.dates[0]), on_date(table, args.dates[1])
    if args.dates is not None:
        raise UsageError("--dates chooses two dates of one table: give one table, or leave it out.")
    tables = [
        _table(source, name, args) for source, name in zip(args.sources, ("before", "after"), strict=True)
    ]
    return tables[0], tables[1]


def _table(source: str, name: str, args: argparse.Namespace) -> EmbeddingTable:
    """Open a table, or embed a raster or a folder of rasters into a table below --out."""
    from ...atlas import open_table

    remote = source.lower().startswith(REMOTE)
    if not remote and not _is_imagery(Path(source)):
        return open_table(source)
    if args.out is None:
        raise UsageError("Give a folder for the tables of both scenes: --out DIR.")
    if remote:
        from ...net import online

        online.require(args.online)
    from ...engine.embedding.run import embed_sources
    from ...engine.embedding.spec import EmbeddingSpec
    from ...models.registry import default_embedder

    spec = EmbeddingSpec(
        (source,), str(args.out / name), args.model or default_embedder(),
        gsd_m=(args.gsd_m,) if args.gsd_m else (), tile_px=args.tile_px, stride_px=args.stride_px,
        online=args.online,
    )  # fmt: skip
    for step in embed_sources(spec, resume=True):
        print(f"\r{name}: {step.done:,} of {step.total:,} tiles    ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return open_table(args.out / name)


def _is_imagery(path: Path) -> bool:
    """Whether a path is a raster, or a folder that holds rasters and no table."""
    if path.name.endswith(".patches.tif"):
        return False
    if path.is_dir():
        names = [file.name.lower() for file in path.iterdir()]
        return not any(n.endswith((".parquet", ".patches.tif")) for n in names) and any(
            n.endswith(SCENES) for n in names
        )
    return path.suffix.lower() in SCENES


def _report(before: EmbeddingTable, after: EmbeddingTable, found: Change, top: int) -> dict[str, Any]:
    ids, later = before.columns["unique_id"], after.columns["unique_id"]
    most: list[dict[str, Any]] = []
    for at in found.most_changed(top).tolist():
        row, other = int(found.before[at]), int(found.after[at])
        lon, lat = before.lonlat[row].tolist()
        most.append(
            {
                "score": round(float(found.score[at]), 6),
                "percentile": None if found.percentile is None else round(float(found.percentile[at]), 4),
                "lon": lon if np.isfinite(lon) else None,
                "lat": lat if np.isfinite(lat) else None,
                "before": ids[row].as_py(),
                "after": later[other].as_py(),
            }
        )
    return {
        "before": before.name,
        "after": after.name,
        "vectors": " and ".join(before.models),
        "places": len(found.score),
        "median_score": round(float(np.median(found.score)), 6),
        "most_changed": most,
    }


def _write(out: Path, before: EmbeddingTable, found: Change, plain: dict[str, Any]) -> None:
    from ...atlas.exports import cog, geoparquet

    score = found.per_row(len(before))
    columns = {"change": score}
    if found.percentile is not None:
        percentile = np.full(len(before), np.nan, np.float32)
        percentile[found.before] = found.percentile
        columns["percentile"] = percentile
    write_atomic(out / "report.json", (json.dumps(plain, indent=1) + "\n").encode())
    write_atomic(out / "change.parquet", geoparquet(before, columns, about=plain))
    write_atomic(out / "change.tif", cog(before, columns, about=plain))
    print(f"Written to {out}: change.parquet, change.tif, report.json.", file=sys.stderr)
