"""`python -m core embed`: turn rasters, folders, packs or the globe into a searchable table of embeddings."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...net.object_store import is_address
from ...policy import POLICIES
from ...units import duration
from ..embed_plan import add_plan_options, print_plan

if TYPE_CHECKING:
    from ...engine.embedding.run import EmbeddingProgress, PatchProgress
    from ...engine.embedding.spec import EmbeddingRequest, EmbeddingSpec

_EPILOG = """examples:
  python -m core embed scene.tif --out tables/scene
  python -m core embed scene.tif --out tables/scene --resume
  python -m core embed flights/ --gsd-m 0.5,1,2 --losses --out tables/flights --data-type int8
  python -m core embed scene.tif --model mae_tiny scale_mae_tiny --gsd-m 10,20 --out tables/scene
  python -m core embed globe --gsd-m 20000 --out tables/globe
  python -m core embed scene.tif --patches --data-type int8 --out rasters
  python -m core embed https://example.org/scene.tif --online --gsd-m 40 --out tables/scene
  python -m core embed stac:https://example.org/items/scene --online --gsd-m 40 --out tables/scene
  python -m core embed --spec run.json --resume
  python -m core embed scene.tif --out tables/scene --leader 2    in one terminal, and in two others:
  python -m core embed scene.tif --out tables/scene --worker 0/2
  python -m core embed scene.tif --out tables/scene --worker 1/2
  python -m core embed scene.tif --out s3://bucket/tables/scene --online
  python -m core embed scene.tif --out tables/scene --ray local

Several models and scales share one reading of the pictures. An embedding run that was stopped, killed or
ran out of disk space continues with --resume and ends with the same table. A raster of patch embeddings
continues when the same command is given again; `search` also finds patches in such a raster (here
rasters/scene.patches.tif).
A file for --spec holds a JSON object:
{"spec": {"sources": [...], "out": "...", "model": "..."}, "models": [...]}"""

MIN_VALID, MASK_RATIO = 0.5, 0.75
WITH_SPEC = (
    "verb", "run", "spec", "resume", "untrusted", "json", "defaults", "leader", "worker", "mix", "ray",
    "actors", "plan", "workers", "tiles_per_s", "price_per_hour", "area_km2",
)  # fmt: skip
"""Attributes of the parsed command line that may be set beside --spec."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "embed",
        help="turn rasters of any size into a searchable table of embeddings",
        description="Cut rasters into tiles, embed each tile, and store vectors, places and recipe "
        "as GeoParquet.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sources",
        nargs="*",
        default=[],
        metavar="SOURCE",
        help="GeoTIFF, PNG, JPEG, folder, zip pack, a named source such as globe, https://COG, stac:ITEM",
    )
    add("--only", action="append", default=[], metavar="KEY", help="embed only this picture; may be repeated")
    add("--out", metavar="DIR", help="folder for the table, or s3://BUCKET/FOLDER")
    add("--spec", type=Path, metavar="FILE", help="read sources, folder and all settings from a JSON file")
    add(
        "--resume",
        action="store_true",
        help="continue the embedding run in DIR (starts one if the folder is empty or missing)",
    )
    add(
        "--online",
        action="store_true",
        help="allow internet access, for https addresses of COGs, stac:URL and object storage",
    )
    add(
        "--untrusted",
        action="store_true",
        help="decode the files given as SOURCE in a separate process with limits on time and memory",
    )
    add("--json", action="store_true", help="print a JSON object about the finished table")
    _add_tiles(parser)
    _add_network(parser)
    _add_storage(parser)
    _add_processes(parser)
    add_plan_options(parser)
    parser.set_defaults(defaults={action.dest: action.default for action in parser._actions})


def _add_tiles(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("tiles").add_argument
    add(
        "--gsd-m",
        metavar="G[,G2...]",
        help="metres per pixel as fed to the network, one or more scales (default: the source's own)",
    )
    add("--tile-px", type=int, metavar="P", help="side of a tile as fed (default: the model's input size)")
    add("--stride-px", type=int, metavar="S", help="step between tiles (default: the side of a tile)")
    add("--stated-gsd-m", type=float, metavar="G", help="metres per pixel of pictures that do not state it")
    add(
        "--min-valid",
        type=float,
        default=MIN_VALID,
        metavar="V",
        help="skip tiles with less than this fraction of valid pixels (default: 0.5)",
    )
    add("--most", type=int, metavar="N", help="embed at most N tiles, spread evenly over the whole plan")


def _add_network(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("network").add_argument
    add(
        "--model",
        nargs="+",
        metavar="NAME|FILE",
        help="names from `models`, or weights files (default: the default embedding model); "
        "with several models, each writes its own table in DIR",
    )
    add(
        "--policy",
        metavar="P",
        help=f"how GSD becomes res: {', '.join(POLICIES)}-R (default: the model's own)",
    )
    add("--pooling", metavar="POOL", help="cls, mean, cls+mean or vector (default: the model's own)")
    add("--losses", action="store_true", help="also store the reconstruction losses of the low and high band")
    add(
        "--mask-ratio",
        type=float,
        default=MASK_RATIO,
        metavar="R",
        help="mask ratio for --losses (default: 0.75)",
    )
    add("--mask-seed", type=int, default=0, metavar="N", help="mask seed for --losses (default: 0)")
    add("--batch", type=int, metavar="N", help="tiles per batch (default: chosen for the device)")


def _add_storage(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("output").add_argument
    add(
        "--data-type",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="type of the stored vectors (default: float32)",
    )
    add(
        "--patches",
        action="store_true",
        help="write a raster of patch embeddings for each picture (a COG with one band per dimension, "
        "overlapping tiles blended) instead of a table",
    )


def _add_processes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("several processes or machines").add_argument
    add(
        "--leader", type=int, metavar="N", help="write the plan, and make the table from what N workers embed"
    )
    add("--worker", metavar="K/N", help="embed the share of worker K (counted from 0) of N, beside a leader")
    add(
        "--ray",
        metavar="local|ADDRESS",
        help="embed with Ray on this machine, or on the cluster at this address",
    )
    add("--actors", type=int, metavar="N", help="actors for --ray (default: one per GPU, or else per core)")
    add(
        "--mix",
        action="store_true",
        help="continue on another device or with other versions; the manifest records the batches concerned",
    )


def request_of(args: argparse.Namespace) -> EmbeddingRequest:
    """Return the spec and models of a parsed command line, or those in the file named by --spec."""
    from ...engine.embedding.spec import EmbeddingRequest, read_request

    if args.spec is None:
        spec = spec_of(args)
        return EmbeddingRequest(spec, tuple(args.model or (spec.model,)))
    extra = [
        name
        for name, value in vars(args).items()
        if name not in WITH_SPEC and value != args.defaults.get(name)
    ]
    if extra:
        raise UsageError(
            "--spec already holds all settings: "
            f"leave out {', '.join(extra).replace('_', '-')}, or change the file."
        )
    return read_request(args.spec)


def spec_of(args: argparse.Namespace) -> EmbeddingSpec:
    """Build the spec from the options of a parsed command line. Raises UsageError for an invalid value."""
    from ...engine.embedding.spec import EmbeddingSpec
    from ...models.registry import default_embedder

    if not (args.plan or (args.sources and args.out)) or not (args.sources or args.area_km2):
        raise UsageError(
            "Name at least one source and a folder (--out DIR), or a file with both (--spec FILE)."
        )
    if not 0 <= args.min_valid <= 1:
        raise UsageError(f"--min-valid must be between 0 and 1; {args.min_valid:g} is not.")
    if not 0 < args.mask_ratio < 1:
        raise UsageError(f"--mask-ratio must be greater than 0 and less than 1; {args.mask_ratio:g} is not.")
    for name in ("batch", "most"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f"--{name} must be 1 or more.")
    return EmbeddingSpec(
        tuple(args.sources), _out(args.out), args.model[0] if args.model else default_embedder(),
        gsd_m=_numbers(args.gsd_m), tile_px=args.tile_px, stride_px=args.stride_px, policy=args.policy,
        pooling=args.pooling, data_type=args.data_type, losses=args.losses, mask_ratio=args.mask_ratio,
        mask_seed=args.mask_seed, min_valid=args.min_valid, stated_gsd_m=args.stated_gsd_m, batch=args.batch,
        most=args.most, online=args.online, only=tuple(args.only),
    )  # fmt: skip


def _out(text: str | None) -> str:
    """Return the output folder; unlike a path, an address keeps its slashes."""
    return text if text and is_address(text) else str(Path(text or "."))


def run(args: argparse.Namespace) -> int:
    """Show the plan, then progress. Ctrl-C stops after the batches in progress."""
    from ...engine.embedding.spec import out_of

    request = request_of(args)
    spec, models = request.spec, request.models
    if args.plan:
        return print_plan(args, spec, models)
    several = len(models) > 1
    if args.patches:
        for name in ("untrusted", "leader", "worker", "mix", "ray"):
            if getattr(args, name) not in (None, False):
                raise UsageError(f"--{name} cannot be combined with --patches: leave one of them out.")
        if several:
            raise UsageError("--patches takes one model: give one, or run the command once for each.")
        if is_address(spec.out):
            raise UsageError("--patches writes to a folder of this machine: choose one (--out DIR).")
        return _patches(spec, as_json=args.json)
    steps = _steps(args, spec, models)
    last: EmbeddingProgress | None = None
    try:
        for step in steps:
            _show(step, first=last is None)
            last = step
    finally:
        steps.close()
        print(file=sys.stderr)
    if last is not None and args.json:
        if several:
            tables = {"tables": [out_of(spec.out, model) for model in models], "models": models}
        else:
            tables = {"table": spec.out, "model": spec.model}
        print(json.dumps({**tables, **asdict(last)}))
    return 0


def _steps(
    args: argparse.Namespace, spec: EmbeddingSpec, models: Sequence[str]
) -> Generator[EmbeddingProgress]:
    """Run in one process, as the leader of several, as a worker, or on Ray."""
    from ...engine.embedding.on_ray import Cluster
    from ...engine.embedding.run import embed_on_ray, embed_share, embed_sources, embed_with_models, lead
    from ...engine.embedding.share import share_from_text

    how = {"untrusted": args.untrusted, "mix": args.mix}
    if args.ray is not None:
        if args.leader is not None or args.worker is not None:
            raise UsageError("--ray takes neither --leader nor --worker: Ray divides the run by itself.")
        return embed_on_ray(spec, models, Cluster(args.ray, args.actors), resume=args.resume, **how)
    if args.actors is not None:
        raise UsageError("--actors belongs to --ray: add --ray local or the address of a cluster.")
    if args.worker is not None:
        if args.leader is not None or args.resume:
            raise UsageError("--worker takes neither --leader nor --resume: a worker always continues.")
        return embed_share(spec, models, share_from_text(args.worker), **how)
    if args.leader is not None:
        return lead(spec, models, args.leader, resume=args.resume, **how)
    if len(models) > 1:
        return embed_with_models(spec, models, resume=args.resume, **how)
    return embed_sources(spec, resume=args.resume, **how)


def _patches(spec: EmbeddingSpec, *, as_json: bool) -> int:
    """Write a raster of patch embeddings for each picture; keep finished rasters, resume unfinished ones."""
    from ...engine.embedding.run import PatchProgress, embed_patches

    steps, last = embed_patches(spec), PatchProgress(0, 0)
    try:
        for last in steps:
            _show_patches(last)
    finally:
        steps.close()
        print(file=sys.stderr)
    if as_json:
        print(json.dumps({"rasters": [str(path) for path in last.rasters], "model": spec.model}))
    return 0


def _show_patches(step: PatchProgress) -> None:
    """Print progress on a line that is overwritten, and each note on a line of its own."""
    if step.note:
        print(f"\n{step.note}", file=sys.stderr)
    if step.shape is None or step.finished:
        return
    rows, cols, bands = step.shape
    size = f"{rows:,} x {cols:,} patches of {bands} values"
    line = f"{step.key}: {step.done:,} of {step.total:,} tiles{_pace(step.rate, step.seconds_left)}, {size}"
    print(f"\r{line}    ", end="", file=sys.stderr, flush=True)


def arguments(spec: EmbeddingSpec, *, models: Sequence[str] = ()) -> list[str]:
    """Write a spec, for one model or several, as arguments of `python -m core`; defaults are left out."""
    words: list[str] = ["--model", *models] if len(models) > 1 else [f"--model={spec.model}"]
    words.append(f"--out={spec.out}")
    if spec.gsd_m:
        words.append(f"--gsd-m={','.join(f'{gsd:.12g}' for gsd in spec.gsd_m)}")
    options = {
        "tile-px": (spec.tile_px, None), "stride-px": (spec.stride_px, None),
        "stated-gsd-m": (spec.stated_gsd_m, None), "policy": (spec.policy, None),
        "pooling": (spec.pooling, None),
        "mask-ratio": (spec.mask_ratio, MASK_RATIO), "mask-seed": (spec.mask_seed, 0),
        "min-valid": (spec.min_valid, MIN_VALID), "most": (spec.most, None), "batch": (spec.batch, None),
        "data-type": (spec.data_type, "float32"),
    }  # fmt: skip
    words += [f"--{name}={value}" for name, (value, default) in options.items() if value != default]
    words += [f"--only={key}" for key in spec.only]
    words += [f"--{name}" for name, on in (("losses", spec.losses), ("online", spec.online)) if on]
    return ["embed", *words, "--", *spec.sources]


def _show(step: EmbeddingProgress, *, first: bool) -> None:
    """Print the plan for the first step, then progress on a line that is overwritten."""
    if step.note:
        print(f"\n{step.note}", file=sys.stderr)
    if first:
        plan = f"{step.total:,} tiles over {step.ground} in {step.batches:,} batches of {step.batch}"
        print(f"{plan}; {step.done:,} done", file=sys.stderr)
        return
    unreadable = f", {step.unreadable:,} unreadable" if step.unreadable else ""
    empty = f", {step.empty:,} empty" if step.empty else ""
    line = f"{step.done:,} of {step.total:,} tiles{_pace(step.rate, step.seconds_left)}{unreadable}{empty}"
    print(f"\r{line}    ", end="", file=sys.stderr, flush=True)


def _pace(rate: float | None, seconds_left: float | None) -> str:
    """Return tiles per second and the time left as text, as far as they are known."""
    left = "" if seconds_left is None else f", {duration(seconds_left)} left"
    return ("" if rate is None else f", {rate:.1f} tiles/s") + left


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(
            f"--gsd-m must be metres per pixel, separated by commas, such as 0.5,1; {text!r:.40} is not."
        ) from None
