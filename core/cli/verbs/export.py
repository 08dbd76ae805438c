"""`python -m core export`: write figures, rasters and animations of saved views."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ...errors import UsageError
from ...files import write_atomic
from ...geo.tile import TileRef, TileSpec
from ...masking import MaskSpec
from ...policy import Policy
from ...session import UPLOAD, PageView, view_from_params

if TYPE_CHECKING:
    from ...engine.results import Reconstruction

_FORMATS = ("png", "pdf", "svg", "tex", "tif", "zip", "json")
_SERIES = ("ratio", "scale")
_MOST_VIEWS = 500
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")

_EPILOG = """examples:
  python -m core export 'http://localhost:8501/Mask_Lab?tile=samples/landsat&mask=blob-40-s3' --out figures
  python -m core export links.txt --formats pdf tex --width ieee-column --out figures
  python -m core export view.json --series scale --out figures

A view is the address of a page, a .json saved on a page, or a .txt with one address per line. Each view gets
files of its own, numbered in order; several views also get a contact sheet. --series adds a contact sheet, a
GIF and an MP4 of each view at several mask ratios or several scales.

formats: png, pdf and svg are the figure, tex is LaTeX code that includes the PDF, tif a GeoTIFF, zip the
single pictures, json the recipe with the scores. The same view gives the same bytes here and on the page."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "export",
        help="write figures, rasters and animations of saved views",
        description="Reconstruct saved views and write them for print, for GIS and as animations.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("views", nargs="+", metavar="VIEW", help="address of a page, .json of a view, or .txt of addresses")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add(
        "--formats", nargs="+", default=["png"], choices=_FORMATS, metavar="F",
        help=f"of {', '.join(_FORMATS)} (default: png)",
    )  # fmt: skip
    add(
        "--width", default="page", metavar="MM|NAME",
        help="width of figures: millimetres, or page, column, ieee-page, ieee-column, elsevier-page, "
        "elsevier-column, cvpr-page, cvpr-column (default: page, 183 mm)",
    )  # fmt: skip
    add("--dpi", type=int, default=300, metavar="N", help="dots per inch of a PNG figure (default: 300)")
    add("--series", choices=_SERIES, help="also vary the mask ratio or the scale of each view")
    add("--steps", type=int, default=8, metavar="N", help="steps of a series, 2 to 16 (default: 8)")
    add("--seconds", type=float, default=0.8, metavar="S", help="time per picture of an animation")


def run(args: argparse.Namespace) -> int:
    """Write the files of every view, then the contact sheet; print one line for each file."""
    width_mm, views = _width(args.width), _views(args.views)
    if not 2 <= args.steps <= 16:
        raise UsageError(f"--steps {args.steps} is not supported: choose 2 to 16.")
    from ... import export
    from ...engine.loaded import load
    from ...geo import known_sources
    from ...viz.publication import latex_figure

    shown: list[Reconstruction] = []
    for n, view in enumerate(views, 1):
        result, verdict = export.reconstruct_view(view)
        shown.append(result)
        name = f"{n:03d}-{_UNSAFE.sub('-', result.recipe.key)[-60:]}"
        latex, kinds = "tex" in args.formats, dict.fromkeys(args.formats)
        files: dict[str, bytes] = {}
        for kind in export.FIGURES:
            if kind in kinds or (latex and kind == "pdf"):
                captioned = not (latex and kind == "pdf")  # LaTeX sets the caption
                files[f".{kind}"] = export.figure(
                    result, verdict, kind, dpi=args.dpi, width_mm=width_mm, captioned=captioned
                )
        if latex:
            files[".tex"] = latex_figure(result, verdict, f"{name}.pdf", page_wide=width_mm >= 130).encode()
        if "tif" in kinds:
            files[".tif"] = export.geotiff(result)
        if "zip" in kinds:
            files[".zip"] = export.pictures_zip(result, verdict)
        if "json" in kinds:
            files[".json"] = export.recipe_json(result, verdict).encode()
        if args.series:
            card = load(view.model).card
            views_of_series = export.series_views(view, args.series, args.steps, card, known_sources())
            series = [export.reconstruct_view(each)[0] for each in views_of_series]
            for kind in export.ANIMATIONS:
                files[f"-{args.series}.{kind}"] = export.animation(series, kind, seconds=args.seconds)
            files[f"-{args.series}.png"] = export.series_sheet(series, dpi=args.dpi, width_mm=width_mm)
        for ending, content in files.items():
            _write(args.out / f"{name}{ending}", content)
    if len(shown) > 1:
        sheet = export.series_sheet(shown, dpi=args.dpi, width_mm=width_mm)
        _write(args.out / "contact-sheet.png", sheet)
    return 0


def _write(path: Path, content: bytes) -> None:
    try:
        print(write_atomic(path, content))
    except OSError as problem:
        raise UsageError(
            f"{path.parent} cannot be written ({problem.strerror}): choose another folder with --out."
        ) from problem


def _width(text: str) -> float:
    from ...viz.publication import WIDTHS_MM

    try:
        return WIDTHS_MM[text] if text in WIDTHS_MM else float(text)
    except ValueError:
        raise UsageError(
            f"--width {text!r:.40} is not known: write millimetres, or one of {', '.join(WIDTHS_MM)}."
        ) from None


def _views(given: list[str]) -> list[PageView]:
    """Read all views; a part that cannot be used is an error, so that no figure shows something else."""
    texts: list[str] = []
    for text in given:
        path = Path(text)
        if path.suffix in (".txt", ".json"):
            try:
                content = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise UsageError(f"{text} cannot be read: name a text file with views.") from None
            texts += (
                [content]
                if path.suffix == ".json"
                else [line for line in content.split("\n") if line.strip()]
            )
        else:
            texts.append(text)
    if len(texts) > _MOST_VIEWS:
        raise UsageError(f"{len(texts):,} views are too many: write at most {_MOST_VIEWS} in one command.")
    return [_view(text.strip()) for text in texts]


def _view(text: str) -> PageView:
    from ...models import cards, default_reconstructor

    known, short = cards(), text if len(text) <= 60 else f"{text[:57]}..."

    def weights(name: str) -> str | None:
        card = known.get(name)
        return None if card is None else card.weights.sha256 if card.weights else ""

    params = _params(text)
    name = params.get("model", default_reconstructor())
    policy = Policy(known[name].default_policy if name in known else "log_gsd")
    start = PageView(name, "", TileSpec(TileRef(UPLOAD, "")), policy, MaskSpec())
    restored = view_from_params(params, start, models={*known}, weights=weights, others=params)
    if restored.ignored:
        raise UsageError(f"{short}: {restored.ignored[0]}")
    if not restored.view.tile.ref.key:
        raise UsageError(f"{short!r} does not name a tile: copy the whole address of a page, in quotes.")
    if restored.view.lives_here:
        raise UsageError(
            f"{short} shows an upload, which exists in one session of the app only: "
            "use `reconstruct` with your own file."
        )
    return restored.view


def _params(text: str) -> dict[str, str]:
    if not text.startswith("{"):
        return dict(parse_qsl(urlsplit(text).query))
    try:
        return {str(name): str(value) for name, value in json.loads(text).items()}
    except (ValueError, RecursionError):
        raise UsageError("This is not a saved view: name a .json file downloaded from the app.") from None
