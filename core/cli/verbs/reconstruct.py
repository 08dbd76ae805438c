"""`python -m core reconstruct`: hide part of an image, reconstruct it, and compare with baselines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...geo.tile import GeoError, TileRef, TileSpec
from ...masking import KINDS, MaskSpec, mask_from_text
from ...policy import POLICIES, Policy, policy_from_text
from ...units import decibels

if TYPE_CHECKING:
    from ...engine.results import Reconstruction
    from ...geo import Source, Tile
    from ...judge import Verdict

_EPILOG = """examples:
  python -m core reconstruct scene.tif --mask blob --ratio 0.5 --out out
  python -m core reconstruct photo.png --gsd-m 0.3 --window 100,80,224,224 --json
  python -m core reconstruct samples/landsat --gsd-m 60 --model mae_tiny
  python -m core reconstruct stac:https://example.org/items/scene --online --at 11.4,47.3 --gsd-m 10"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="hide part of an image and reconstruct it",
        description="Hide part of an image, reconstruct it with a network, and score the result "
        "beside three fills that need no network.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help="GeoTIFF, PNG, JPEG, folder, zip pack, a sample such as samples/landsat, "
        "https://COG or stac:ITEM (see --online)",
    )
    place = parser.add_argument_group("input (default: the largest centred square)")
    place.add_argument("--window", metavar="C,R,W,H", help="column, row, width and height in source pixels")
    place.add_argument("--at", metavar="LON,LAT", help="centre of the input, in degrees, instead of a window")
    place.add_argument(
        "--gsd-m",
        type=float,
        metavar="G",
        help="metres per input pixel; for an image without georeference: metres per pixel of the image",
    )
    place.add_argument(
        "--stated-gsd-m",
        type=float,
        metavar="G",
        help="metres per pixel of the source, overriding the file",
    )
    place.add_argument("--rgb", metavar="R,G,B", help="bands to use as red, green and blue, counted from 0")
    network = parser.add_argument_group("model")
    network.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="a name from `models`, or a weights file (default: the shipped default)",
    )
    network.add_argument(
        "--policy",
        metavar="P",
        help=f"how GSD becomes res: {', '.join(POLICIES)}-R (default: the model's own)",
    )
    network.add_argument(
        "--size-px",
        type=int,
        metavar="S",
        help="side of the input in px (default: the model's own)",
    )
    hidden = parser.add_argument_group("mask")
    hidden.add_argument(
        "--mask", default="random", metavar="KIND", help=f"{', '.join(KINDS)}, or a mask as written in a link"
    )
    hidden.add_argument(
        "--ratio", type=float, metavar="R", help="mask ratio: share of patches to hide, 0..1 (default: 0.75)"
    )
    hidden.add_argument("--seed", type=int, metavar="S", help="seed of random masks (default: 0)")
    parser.add_argument(
        "--online",
        action="store_true",
        help="let this command use the internet: an https address of a COG, stac:URL of an item",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write images, a GeoTIFF, a figure and the recipe to this folder",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: recipe and metrics")


def run(args: argparse.Namespace) -> int:
    """Reconstruct, score, print, and write files where requested."""
    mask = _mask(args)
    policy = policy_from_text(args.policy) if args.policy else None
    source, spec = _source_and_spec(args)
    from ...engine.inputs import read_ground, require_side
    from ...engine.loaded import load
    from ...engine.reconstruct import reconstruct
    from ...judge import judge
    from ...models import default_reconstructor

    model = load(args.model or default_reconstructor())
    side = require_side(args.size_px or model.card.input_px, model.card.patch_px)
    tile = read_ground(source, spec, side)
    policy = policy or Policy(model.card.default_policy)
    result = reconstruct(model, tile, mask, policy, size_px=side, repeatable=args.out is not None)
    verdict = judge(result)
    _print(result, verdict, as_json=args.json)
    if args.out:
        from ...export import write_all

        for path in write_all(result, verdict, args.out):
            print(path, file=sys.stderr)
    return 0


def _source_and_spec(args: argparse.Namespace) -> tuple[Callable[[TileSpec], Tile], TileSpec]:
    from ...geo import known_sources, open_source

    name, _, key = args.image.partition("/")
    source: Source
    if not Path(args.image).exists() and key and name in (catalogue := known_sources()).names():
        source = catalogue.source(name)
        ref = TileRef(name, key)
        source.entry(key)
    else:
        source = open_source(args.image, online=args.online)
        ref = source.ref()
    spec = TileSpec(
        ref,
        window=_numbers(args.window, "--window", "C,R,W,H", int),
        lonlat=_numbers(args.at, "--at", "LON,LAT", float),
        gsd_m=args.gsd_m,
        rgb=_numbers(args.rgb, "--rgb", "R,G,B", int),
        stated_gsd_m=args.stated_gsd_m,
    )
    if spec.gsd_m is not None and spec.stated_gsd_m is None and not _knows_scale(source, ref):
        spec = replace(spec, gsd_m=None, stated_gsd_m=spec.gsd_m)
    return source.read, spec


def _knows_scale(source: Source, ref: TileRef) -> bool:
    try:
        source.native_gsd_m(ref.key)
        return True
    except GeoError:
        return False


def _mask(args: argparse.Namespace) -> MaskSpec:
    mask = mask_from_text(args.mask) if args.mask not in KINDS else MaskSpec(args.mask)
    options = {name: value for name in ("ratio", "seed") if (value := getattr(args, name)) is not None}
    MaskSpec("random", **options)  # an invalid ratio is an error even if the kind of mask takes none
    return replace(mask, **options) if set(options) & KINDS[mask.kind].uses else mask


def _print(result: Reconstruction, verdict: Verdict, *, as_json: bool) -> None:
    for warning in result.warnings:
        print(f"note: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps({"recipe": result.recipe.to_json(), "metrics": verdict.to_json()}, allow_nan=False))
        return
    print(result.recipe.caption())
    print(f"{'over hidden pixels':24}{'PSNR dB':>9}{'SSIM':>8}{'L1':>9}")
    for name, scores in {result.recipe.model: verdict.model, **verdict.fills}.items():
        print(f"{name:24}{decibels(scores.psnr).removesuffix(' dB'):>9}{scores.ssim:8.3f}{scores.l1:9.4f}")


def _numbers(text: str | None, option: str, form: str, read: Callable[[str], float]) -> Any:
    """Parse as many numbers as `form` has names; None without text."""
    count = len(form.split(","))
    if text is None:
        return None
    try:
        parts = tuple(read(part) for part in text.split(","))
    except ValueError:
        parts = ()
    if len(parts) != count:
        raise UsageError(
            f"{option} {text!r:.60} is invalid: write {count} numbers separated by commas, {form}."
        )
    return parts
