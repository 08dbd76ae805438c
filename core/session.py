"""The state of a page as one spec, PageView, with its forms as link, JSON, notebook cell and command line.

Links are untrusted: invalid parts are left out and reported in a message, and nothing raises.
"""

import dataclasses
import json
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import ExplorerError
from .geo.tile import TileRef, TileSpec
from .masking import KINDS, MaskSpec, mask_from_text, mask_to_text
from .policy import Policy, policy_from_text, policy_to_text

UPLOAD = "upload"
"""The source of uploads, whose keys are valid in one running server only."""

UPLOADED_WEIGHTS = "upload-"
"""Prefix of the names of uploaded weights, which are valid in one session only."""

_LONGEST, _LONGEST_FILE = 4000, 2**16
_WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)
_OWN_FILE, _OWN_WEIGHTS = "path/to/your/file.tif", "path/to/your/weights.pth"


class ViewError(ExplorerError):
    """An invalid part of a link; the message is the reason why it was left out."""


@dataclass(frozen=True)
class PageView:
    """What a page shows.

    weights_hash: the first characters of the SHA-256 of the weights when the link was created, "" if
    untrained. tile.size_px: input side of the network (None: the default of the model). selection: URL-safe
    text of the page.
    """

    model: str
    weights_hash: str
    tile: TileSpec
    policy: Policy
    mask: MaskSpec
    selection: str = ""

    def to_params(self) -> dict[str, str]:
        """Return the URL parameters (docs/reference/url.md); those without a value are left out."""
        tile = self.tile
        params = {
            "model": self.model,
            "weights": self.weights_hash,
            "tile": f"{tile.ref.source}/{tile.ref.key}",
            "win": _joined(tile.window),
            "at": _joined(tile.lonlat),
            "gsd": _joined(tile.gsd_m),
            "size": _joined(tile.size_px),
            "rgb": _joined(tile.rgb),
            "stated": _joined(tile.stated_gsd_m),
            "policy": policy_to_text(self.policy),
            "mask": mask_to_text(self.mask),
            "sel": self.selection,
        }
        return {name: value for name, value in params.items() if value}

    def to_json(self) -> str:
        """Return the same parameters as one JSON object."""
        return json.dumps(self.to_params(), indent=1)

    def to_python(self) -> str:
        """Write a notebook cell for the same reconstruction, to run from the root of the project."""
        upload = self.tile.ref.source == UPLOAD
        opening = "source = known_sources()"
        if upload:
            opening = (
                f"source = open_source({_OWN_FILE!r})  # uploads exist in the app only: use your own copy"
            )
        spec = _expression(self.tile)
        if upload:
            spec = spec.replace(_expression(self.tile.ref), "TileRef(source.name, source.keys()[0])", 1)
        return "\n".join(
            (
                "from core.engine.inputs import read_ground",
                "from core.engine.loaded import load",
                "from core.engine.reconstruct import reconstruct",
                "from core.export import figure",
                f"from core.geo import TileRef, TileSpec, {'open_source' if upload else 'known_sources'}",
                "from core.judge import judge",
                "from core.masking import MaskSpec",
                "from core.policy import Policy",
                "",
                f"model = load({model_outside(self.model)!r})"
                + (f"  # weights {self.weights_hash}" if self.weights_hash else ""),
                opening,
                f"spec = {spec}",
                "side_px = spec.size_px or model.card.input_px",
                "tile = read_ground(source.read, spec, side_px)",
                f"result = reconstruct(model, tile, {_expression(self.mask)}, {_expression(self.policy)}, "
                "size_px=side_px, repeatable=True)",
                "print(result.recipe.caption())",
                "picture = figure(result, judge(result))  # PNG, the same bytes as the page's",
                "",
            )
        )

    def to_command(self) -> str:
        """Write the command line for the same reconstruction, to run from the root of the project."""
        tile, mask = self.tile, self.mask
        # Whether kind, ratio and seed describe the mask completely.
        simple = replace(mask, ratio=0.75, seed=0) == MaskSpec(mask.kind)
        options = {
            "--model": model_outside(self.model),
            "--window": _joined(tile.window),
            "--at": _joined(tile.lonlat),
            "--gsd-m": _joined(tile.gsd_m),
            "--size-px": _joined(tile.size_px),
            "--rgb": _joined(tile.rgb),
            "--stated-gsd-m": _joined(tile.stated_gsd_m),
            "--policy": policy_to_text(self.policy),
            "--mask": mask.kind if simple else mask_to_text(mask),
            "--ratio": _joined(mask.ratio) if simple and "ratio" in KINDS[mask.kind].uses else "",
            "--seed": _joined(mask.seed) if simple and "seed" in KINDS[mask.kind].uses else "",
        }
        image = _OWN_FILE if tile.ref.source == UPLOAD else f"{tile.ref.source}/{tile.ref.key}"
        # "=" prevents a value with a minus sign, such as a western longitude, from being read as an option.
        arguments = [
            f"{name}={value}" if value.startswith("-") else f"{name} {shlex.quote(value)}"
            for name, value in options.items()
            if value
        ]
        return " ".join(["python -m core reconstruct", shlex.quote(image), *arguments])

    @property
    def lives_here(self) -> bool:
        """Whether a link to this view works in this session only: its tile or weights are uploads."""
        return self.tile.ref.source == UPLOAD or self.model.startswith(UPLOADED_WEIGHTS)


def model_outside(name: str) -> str:
    """Return the name of a model for notebooks and the command line.

    For uploaded weights, a path to fill in.
    """
    return _OWN_WEIGHTS + "".join(name.partition("+")[1:]) if name.startswith(UPLOADED_WEIGHTS) else name


@dataclass(frozen=True)
class Restored:
    """A view restored from a link or file, and one message for each part that was left out."""

    view: PageView
    ignored: tuple[str, ...] = ()


def view_from_params(
    params: Mapping[str, str],
    default: PageView,
    *,
    models: Collection[str] | None = None,
    sources: Collection[str] | None = None,
    weights: Callable[[str], str | None] | None = None,
    others: Collection[str] = (),
    unused: Collection[str] = (),
    closed: Callable[[TileRef], str] | None = None,
) -> Restored:
    """Restore a view from a link.

    Missing or invalid parts come from `default`, with a message; nothing raises.

    models, sources: the names that exist here (None: any). weights: returns the SHA-256 of the weights of a
    model here ("" untrained, None unknown), to compare with the hash in the link. others: further parameters,
    which are not reported. unused: parameters that this page does not use. closed: returns why a picture may
    not be shown to this user, or "".
    """
    reader = _Reader(
        {name: text for name, text in params.items() if name not in unused}, models, sources, closed
    )
    read_here = {*_PARAMS, *others} - {*unused}
    ignored = [ignored_parameter(name) for name in params if name not in read_here]
    if weights is not None:
        reader.compare_weights(weights, default.model)
    view = PageView(
        model=reader.get("model", default.model),
        weights_hash=reader.get("weights", "" if "model" in reader.good else default.weights_hash),
        tile=reader.tile(default.tile),
        policy=reader.get("policy", default.policy),
        mask=reader.get("mask", default.mask),
        selection=reader.get("sel", ""),
    )
    return Restored(view, (*reader.ignored, *ignored))


def ignored_parameter(name: str) -> str:
    """Return the message about an unknown parameter of a link."""
    return f'The link has a parameter "{name[:40]}", which is unknown here and was ignored.'


def view_from_json(text: str, default: PageView, **known: Any) -> Restored:
    """Restore a view from the JSON of `PageView.to_json`, like `view_from_params`; nothing raises."""
    try:
        content = json.loads(text if len(text) <= _LONGEST_FILE else "")
        params = {str(name): str(value) for name, value in content.items()}
    except (ValueError, AttributeError, RecursionError):
        return Restored(default, ("This is not a saved view: choose a .json file downloaded from this app.",))
    return view_from_params(params, default, **known)


# --- parts of a link ---------------------------------------------------------------------------


def _joined(value: float | tuple[float, ...] | None) -> str:
    if value is None:
        return ""
    numbers = value if isinstance(value, tuple) else (value,)
    return ",".join(repr(number).removesuffix(".0") for number in numbers)


def _expression(spec: Any) -> str:
    """Return the Python expression of a dataclass, without default values."""
    arguments: list[str] = []
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value != field.default:
            text = _expression(value) if dataclasses.is_dataclass(value) else repr(value)
            arguments.append(text if field.default is dataclasses.MISSING else f"{field.name}={text}")
    return f"{type(spec).__name__}({', '.join(arguments)})"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ViewError(f"{text!r:.40} is not a number.") from None


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ViewError(f"{text!r:.40} is not a whole number.")
    return int(text)


def _several(read: Callable[[str], float], count: int) -> Callable[[str], tuple[Any, ...]]:
    def parse(text: str) -> tuple[Any, ...]:
        parts = text.split(",")
        if len(parts) != count:
            raise ViewError(f"{text!r:.40} must be {count} numbers separated by commas.")
        return tuple(read(part) for part in parts)

    return parse


def _plain(pattern: str, what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ViewError(f"{text!r:.40} is not {what}.")
        return text

    return parse


def _ref(text: str) -> TileRef:
    source, _, key = text.partition("/")
    if not source or not key or not text.isprintable() or len(text) > 400:
        raise ViewError(f"{text!r:.40} does not name a tile as source/key.")
    return TileRef(source, key)


_PARAMS: dict[str, Callable[[str], Any]] = {
    "model": _plain(r"[\w.+-][\w .+-]{0,79}", "the name of a model"),
    "weights": _plain(r"[0-9a-f]{6,64}", "the hash of a weights file"),
    "tile": _ref,
    "win": _several(_whole, 4),
    "at": _several(_number, 2),
    "gsd": _number,
    "size": _whole,
    "rgb": _several(_whole, 3),
    "stated": _number,
    "policy": policy_from_text,
    "mask": mask_from_text,
    "sel": _plain(r"[\w.~,;:!*+/-]{0,2000}", "a selection of this page"),
}
_OF_TILE = {
    "win": "window",
    "at": "lonlat",
    "gsd": "gsd_m",
    "size": "size_px",
    "rgb": "rgb",
    "stated": "stated_gsd_m",
}


class _Reader:
    """Parses the parameters of a link and collects a message for each that is left out."""

    def __init__(
        self,
        params: Mapping[str, str],
        models: Collection[str] | None,
        sources: Collection[str] | None,
        closed: Callable[[TileRef], str] | None = None,
    ) -> None:
        self.ignored: list[str] = []
        self.good: dict[str, Any] = {}
        for name, parse in _PARAMS.items():
            if text := params.get(name):
                self._read(name, text, parse)
        if models is not None and (model := self.good.get("model")) and model not in models:
            uploaded = "these weights were uploaded in another session: upload the file here."
            self._leave_out(
                "model",
                uploaded if model.startswith(UPLOADED_WEIGHTS) else f"there is no model called {model} here.",
            )
            self.good.pop("weights", None)  # weights of the missing model
        if ref := self.good.get("tile"):
            missing = sources is not None and ref.source not in sources
            why = (
                f"there is no source called {ref.source:.40} here."
                if missing
                else closed(ref)
                if closed
                else ""
            )
            if why:
                self._leave_out("tile", why)
                self.good = {
                    name: value
                    for name, value in self.good.items()
                    if name not in {"win", "at", "rgb", "stated"}
                }

    def compare_weights(self, weights: Callable[[str], str | None], default: str) -> None:
        """Leave out a weights hash that differs from the weights of the model here."""
        linked, model = self.good.get("weights", ""), self.good.get("model", default)
        if not linked:
            return
        local = weights(model)
        if local is not None and not local.startswith(linked):
            status = f"{model} has the weights {local[:12]} here" if local else f"{model} is untrained here"
            self._leave_out(
                "weights",
                f"it was made with the weights {linked[:12]}, but {status}, so results differ.",
            )

    def get(self, name: str, default: Any) -> Any:
        return self.good.get(name, default)

    def tile(self, default: TileSpec) -> TileSpec:
        """Return the tile of the link; a link without a position keeps the default one."""
        start = TileSpec(self.good["tile"]) if "tile" in self.good else default
        changes = {field: self.good[name] for name, field in _OF_TILE.items() if name in self.good}
        if {"window", "lonlat"} & set(changes):
            start = replace(start, window=None, lonlat=None)
        try:
            return replace(start, **changes)
        except ExplorerError as error:
            self._leave_out("tile", str(error))
            return start

    def _read(self, name: str, text: str, parse: Callable[[str], Any]) -> None:
        try:
            if len(text) > _LONGEST:
                raise ViewError("it is too long.")
            self.good[name] = parse(text)
        except ExplorerError as error:
            self._leave_out(name, str(error))

    def _leave_out(self, name: str, why: str) -> None:
        self.good.pop(name, None)
        self.ignored.append(f'The "{name}" of the link was ignored: {why}')
