"""`python -m core embed`: turn rasters, folders, packs or the globe into a table of vectors that can be searched."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...policy import POLICIES

if TYPE_CHECKING:
    from ...engine.embedding.run import EmbeddingProgress
    from ...engine.embedding.sinks.patch_folder import FolderProgress
    from ...engine.embedding.spec import EmbeddingSpec

_EPILOG = """examples:
  python -m core embed scene.tif --out tables/scene
  python -m core embed scene.tif --out tables/scene --resume
  python -m core embed flights/ --gsd-m 0.5,1,2 --losses --out tables/flights --data-type int8
  python -m core embed scene.tif --model mae_tiny scale_mae_tiny --gsd-m 10,20 --out tables/scene
  python -m core embed globe --gsd-m 20000 --out tables/globe
  python -m core embed scene.tif --patches --data-type int8 --out rasters       (search finds patches in rasters/scene.patches.tif)
  python -m core embed https://example.org/scene.tif --online --gsd-m 40 --out tables/scene
  python -m core embed stac:https://example.org/items/scene --online --gsd-m 40 --out tables/scene

Several models and scales are embedded in one reading of the pictures. A sweep that was stopped, killed or out of disk goes on with --resume, to the very same table;
so does a raster of patches, when the same command is given again."""


MIN_VALID = 0.5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "embed",
        help="turn rasters of any size into a searchable table of vectors",
        description="Cut rasters into tiles, embed every tile, and keep vectors, places and recipe as GeoParquet.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="GeoTIFF, PNG, JPEG, folder, zip pack, a source by name such as globe, https://COG, stac:ITEM",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="KEY",
        help="only this picture of the sources; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the table")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the sweep in DIR (an empty or missing folder simply starts)",
    )
    tiles = parser.add_argument_group("what a tile is")
    tiles.add_argument(
        "--gsd-m",
        metavar="G[,G2...]",
        help="metres per pixel as fed, several for several scales (default: the source's own)",
    )
    tiles.add_argument(
        "--tile-px", type=int, metavar="P", help="side of a tile as fed (default: the model's own)"
    )
    tiles.add_argument(
        "--stride-px", type=int, metavar="S", help="from one tile to the next (default: the tile's side)"
    )
    tiles.add_argument(
        "--stated-gsd-m",
        type=float,
        metavar="G",
        help="metres per pixel of pictures that do not know their own",
    )
    tiles.add_argument(
        "--min-valid",
        type=float,
        default=MIN_VALID,
        metavar="V",
        help="leave out tiles with less than this share of data (default: 0.5)",
    )
    network = parser.add_argument_group("what looks at it")
    network.add_argument(
        "--model", nargs="+", metavar="NAME|FILE",
        help="names from `models`, or weights files (default: the shipped embedding); of several each writes a table of its own into DIR",
    )  # fmt: skip
    network.add_argument(
        "--policy",
        metavar="P",
        help=f"how GSD becomes res: {', '.join(POLICIES)}-R (default: the model's own)",
    )
    network.add_argument("--pooling", metavar="POOL", help="cls, mean or cls+mean (default: the model's own)")
    network.add_argument(
        "--losses",
        action="store_true",
        help="also reconstruct each tile and keep the loss of the low and the high band",
    )
    network.add_argument(
        "--batch", type=int, metavar="N", help="tiles at a time (default: what the device likes)"
    )
    kept = parser.add_argument_group("what is kept")
    kept.add_argument(
        "--data-type",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="of the vectors on disk (default: float32)",
    )
    kept.add_argument(
        "--patches", action="store_true",
        help="instead of a table, a raster of patch embeddings (COG, a band for each value) of every picture, overlapping tiles blended",
    )  # fmt: skip
    parser.add_argument(
        "--online",
        action="store_true",
        help="let this command use the internet: https addresses of COGs, stac:URL of items",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object about the finished table")


def spec_of(args: argparse.Namespace) -> EmbeddingSpec:
    """What a parsed command line asks for. Raises UsageError for a value that cannot be meant."""
    from ...engine.embedding.spec import EmbeddingSpec
    from ...models.registry import default_embedder

    if not 0 <= args.min_valid <= 1:
        raise UsageError(f"--min-valid is a share from 0 to 1; {args.min_valid:g} is none.")
    if args.batch is not None and args.batch < 1:
        raise UsageError("--batch must be 1 or more.")
    return EmbeddingSpec(
        tuple(args.sources), str(args.out), args.model[0] if args.model else default_embedder(),
        gsd_m=_numbers(args.gsd_m), tile_px=args.tile_px, stride_px=args.stride_px,
        policy=args.policy, pooling=args.pooling, data_type=args.data_type, losses=args.losses, min_valid=args.min_valid,
        stated_gsd_m=args.stated_gsd_m, batch=args.batch, online=args.online, only=tuple(args.only),
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the plan, then progress; Ctrl-C stops after the batches in hand."""
    from ...engine.embedding.run import embed_sources, embed_with_models
    from ...engine.embedding.spec import folder_of

    spec = spec_of(args)
    models: list[str] = args.model or [spec.model]
    if args.patches:
        if len(models) > 1:
            raise UsageError("--patches takes one model: name one, or write the rasters of the others apart.")
        return _patches(spec, as_json=args.json)
    several = len(models) > 1
    steps = (
        embed_with_models(spec, models, resume=args.resume)
        if several
        else embed_sources(spec, resume=args.resume)
    )
    last: EmbeddingProgress | None = None
    shown = False
    try:
        for last in steps:
            _tell(last, shown=shown)
            shown = True
    finally:
        steps.close()
        print(file=sys.stderr)
    if last is not None and args.json:
        made = (
            {"tables": [str(folder_of(spec.out, model)) for model in models], "models": models}
            if several
            else {"table": spec.out, "model": spec.model}
        )
        print(json.dumps({**made, **asdict(last)}))
    return 0


def _patches(spec: EmbeddingSpec, *, as_json: bool) -> int:
    """Write a raster of patch embeddings for every picture of the sources; what is there already is kept and gone on with, with or without --resume."""
    from ...engine.embedding.sinks.patch_folder import FolderProgress, embed_pictures
    from ...engine.embedding.sinks.patch_layout import PatchRasterSpec

    if len(spec.gsd_m) > 1 or spec.data_type == "float16" or spec.losses or spec.pooling:
        raise UsageError(
            "--patches takes one GSD, float32 or int8, and neither --losses nor --pooling: leave the others out."
        )
    wanted = PatchRasterSpec(
        spec.model, next(iter(spec.gsd_m), None), spec.tile_px, spec.stride_px, spec.policy,
        "int8" if spec.data_type == "int8" else "float32", spec.min_valid, spec.stated_gsd_m, spec.batch,
    )  # fmt: skip
    steps, last = embed_pictures(spec, wanted), FolderProgress(0, 0)
    try:
        for last in steps:
            _tell_patches(last)
    finally:
        steps.close()
        print(file=sys.stderr)
    if as_json:
        print(json.dumps({"rasters": [str(path) for path in last.rasters], "model": spec.model}))
    return 0


def _tell_patches(step: FolderProgress) -> None:
    """Show one line that is written over, and each note on its own."""
    if step.note:
        print(f"\n{step.note}", file=sys.stderr)
    if step.picture is None or step.finished:
        return
    size = f"{step.picture.rows:,} x {step.picture.cols:,} patches of {step.picture.bands} values"
    print(
        f"\r{step.key}: {step.done:,} of {step.total:,} tiles{_pace(step.rate, step.seconds_left)}, {size}    ",
        end="",
        file=sys.stderr,
        flush=True,
    )


def arguments(spec: EmbeddingSpec, *, models: Sequence[str] = (), resume: bool = False) -> list[str]:
    """The command line, after `python -m core`, that makes a sweep, or that of several models: what is as by default is left out."""
    said: list[str] = ["--model", *models] if len(models) > 1 else [f"--model={spec.model}"]
    said.append(f"--out={spec.out}")
    if spec.gsd_m:
        said.append(f"--gsd-m={','.join(f'{gsd:.12g}' for gsd in spec.gsd_m)}")
    values = {
        "tile-px": spec.tile_px, "stride-px": spec.stride_px, "stated-gsd-m": spec.stated_gsd_m, "policy": spec.policy,
        "pooling": spec.pooling, "batch": spec.batch,
    }  # fmt: skip
    said += [f"--{name}={value}" for name, value in values.items() if value is not None]
    said += [f"--only={key}" for key in spec.only]
    if spec.min_valid != MIN_VALID:
        said.append(f"--min-valid={spec.min_valid!r}")
    if spec.data_type != "float32":
        said.append(f"--data-type={spec.data_type}")
    said += [
        f"--{name}"
        for name, wanted in (("losses", spec.losses), ("online", spec.online), ("resume", resume))
        if wanted
    ]
    return ["embed", *said, "--", *spec.sources]


def _tell(step: EmbeddingProgress, *, shown: bool) -> None:
    """Show the plan, unless it was `shown`, then one line that is written over."""
    if step.note:
        print(f"\n{step.note}", file=sys.stderr)
    if not shown:
        print(
            f"{step.total:,} tiles over {step.ground} in {step.batches:,} batches of {step.batch}; {step.done:,} done",
            file=sys.stderr,
        )
        return
    marked = f", {step.unreadable:,} unreadable" if step.unreadable else ""
    empty = f", {step.empty:,} empty" if step.empty else ""
    told = f"{step.done:,} of {step.total:,} tiles{_pace(step.rate, step.seconds_left)}{marked}{empty}"
    print(f"\r{told}    ", end="", file=sys.stderr, flush=True)


def _pace(rate: float | None, seconds_left: float | None) -> str:
    """Tiles per second and the time left, as far as they are known."""
    left = "" if seconds_left is None else f", {_duration(seconds_left)} left"
    return ("" if rate is None else f", {rate:.1f} tiles/s") + left


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(
            f"--gsd-m takes metres per pixel, several with commas between, such as 0.5,1; {text!r:.40} is none."
        ) from None
