"""The only st.cache_*: core functions behind caches that are keyed by specs. torch and timm are imported when first needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.errors import ExplorerError
from core.geo import Catalogue, GalleryEntry, Tile, TileSpec, known_sources, thumbnail
from core.geo import gallery as gallery_of
from core.geo.catalogue import DATA_VARIABLE
from core.session import PageView
from ui.shell import weights
from ui.shell.kept import Kept

if TYPE_CHECKING:
    from core.engine.reconstruct import Prepared
    from core.engine.results import Reconstruction, Spread, SweepStep
    from core.engine.tokens import PatchSet
    from core.engine.turns import Turns
    from core.judge import Verdict
    from core.models.base import Encoder, Reconstructor
    from core.models.registry import ModelCard

THUMBNAIL_PX = 160


@st.cache_resource(show_spinner=False)
def catalogue() -> Catalogue:
    """Every source of tiles of this server."""
    from ui.shell.pictures import pictures
    from ui.shell.uploads import LaidIn

    known = known_sources(
        uploads=pictures.source
    )  # held outside: clearing this cache takes nobody's uploads away
    known.add(LaidIn())
    return known


@st.cache_resource(show_spinner=False)
def gallery() -> tuple[GalleryEntry, ...]:
    """The gallery's tiles that are there."""
    return gallery_of(catalogue())


@st.cache_data(max_entries=512, show_spinner=False)
def thumbnail_of(spec: TileSpec, px: int = THUMBNAIL_PX) -> bytes:
    """A small picture of a tile as JPEG; of a large picture's middle, no more than that needs is read."""
    from core.viz.sheet import jpeg

    header = catalogue().source(spec.ref.source).header(spec.ref.key)
    if (
        not (spec.window or spec.lonlat or spec.gsd_m or spec.size_px)
        and min(header.width, header.height) > 4 * px
    ):
        spec = replace(spec, size_px=2 * px)
    return jpeg(thumbnail(catalogue().read(spec), px), 88)


def ground(spec: TileSpec, side_px: int) -> Tile:
    """The ground of a spec, as fine as a network of this side can use it."""
    from core.engine.inputs import read_ground

    return shelf("ground", 64).once((spec, side_px), lambda: read_ground(catalogue().read, spec, side_px))


@st.cache_resource(show_spinner=False)
def weight_files() -> dict[str, Path]:
    """Weights files in the folders given at start, by file name: the only paths that a page can reach."""
    folders = [Path(text) for text in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if text]
    return {
        path.name: path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix in weights.SUFFIXES
    }


@st.cache_resource(show_spinner=False)
def cards() -> dict[str, ModelCard]:
    """The networks' cards, trained ones first."""
    from core.models import cards as all_cards
    from core.models import default_reconstructor

    first = default_reconstructor()
    return dict(sorted(all_cards().items(), key=lambda item: (item[0] != first, not item[1].trained)))


def model(name: str) -> Encoder:
    """The process's one copy of a network, by preset or by the name of a weights file (see `weights.located`)."""
    from core.engine.loaded import load

    return load(weights.located(name, weight_files()))


def reconstructor(name: str) -> Reconstructor:
    """A network that paints. Raises InputError for an encoder."""
    from core.engine.reconstruct import require_reconstructor

    return require_reconstructor(model(name))


def report(name: str) -> tuple[str, ...]:
    """What became of a weights file, a sentence each; nothing for our own presets."""
    from core.models import LoadReport

    said = getattr(model(name), "report", None)
    return said.sentences() if isinstance(said, LoadReport) and weights.is_file(name, weight_files()) else ()


def card_of(name: str) -> ModelCard:
    """The card of a network; of a weights file, after loading it."""
    return cards()[name] if name in cards() else model(name).card


@st.cache_resource(show_spinner=False)
def _made() -> Kept:
    return Kept(128)


@st.cache_resource(show_spinner=False)
def _judged() -> Kept:
    return Kept(128)


@st.cache_resource(show_spinner=False)
def _vectors() -> Kept:
    return Kept(1024)


@st.cache_resource(show_spinner=False)
def _studies() -> Kept:
    return Kept(16)


@st.cache_resource(show_spinner=False)  # no limit: the names are the few that stand in this program
def shelf(name: str, most: int) -> Kept:  # noqa: ARG001  (the name is the cache's key)
    """The `most` latest results of one kind, shared by all users, for modules that know their own keys."""
    return Kept(most)


def forget(name: str) -> None:
    """Give up what was computed with a network that is gone."""
    for kept in (_made(), _judged(), _vectors(), _studies(), shelf("pace", 64), shelf("patches", 64)):
        for ending in ("", "+gsd", "+static"):
            kept.drop(name + ending)


weights.when_removed(forget)


def reconstruction(
    view: PageView, asker: str, on_place: Callable[[int], None] | None = None
) -> Reconstruction:
    """What a view shows. `asker` waits in the queue before the device; its newer request replaces an older one (Superseded)."""
    key = question(view)
    if (found := _made().get(key)) is not None:
        return found
    from core.engine.in_turn import reconstruct_in_turn
    from core.engine.reconstruct import ReconstructionRequest

    network = model(view.model)
    side = view.tile.size_px or network.card.input_px
    wanted = ReconstructionRequest(ground(view.tile, side), view.mask, view.policy, side)
    return _made().put(key, reconstruct_in_turn(network, wanted, _queue(network), asker, on_place))


def reconstructions(
    views: Sequence[PageView], asker: str
) -> Iterator[tuple[int, Reconstruction | ExplorerError]]:
    """What many views of one network show, as it comes: (which, it), or the sentence why it cannot be. What is known comes first."""
    from core.engine.reconstruct import ReconstructionRequest, reconstruct_many

    if not views:
        return
    network, missing, wanted = model(views[0].model), [], []
    for n, view in enumerate(views):
        if (found := _made().get(question(view))) is not None:
            yield n, found
            continue
        side = view.tile.size_px or network.card.input_px
        try:
            wanted.append(ReconstructionRequest(ground(view.tile, side), view.mask, view.policy, side))
            missing.append(n)
        except ExplorerError as problem:
            yield n, problem
    pieces, queue = reconstruct_many(network, wanted), _queue(network)
    while True:
        with queue.turn(f"{asker} scales"):
            piece = next(pieces, None)
        if piece is None:
            return
        n = missing[piece[0]]
        yield n, _made().put(question(views[n]), piece[1])


def prepared(view: PageView) -> Prepared:
    """A view's tile as its network is fed it."""
    from core.engine.reconstruct import prepare

    network = model(view.model)
    side = view.tile.size_px or network.card.input_px
    return prepare(network, ground(view.tile, side), view.policy, side)


def vectors(views: Sequence[PageView]) -> list[Any]:
    """One vector for each view's whole picture, nothing hidden, by its model, scale and policy: float32 (d,) each."""
    from core.engine.embed import embed

    def make(view: PageView) -> Any:
        ready = prepared(view)
        gsd_m, native_m = ready.fed.tile.gsd, ready.tile.native_gsd_m
        return embed(
            model(view.model), ready.fed.unit[None], gsd_m=gsd_m, policy=view.policy, native_gsd_m=native_m
        )[0]

    return [_vectors().once((view.model, view.tile, view.policy), partial(make, view)) for view in views]


def patches(views: Sequence[PageView]) -> PatchSet:
    """Every patch's vector of several tiles under one network, nothing hidden."""
    from core.engine.tokens import PatchSet, patch_vectors

    def make() -> PatchSet:
        ready = [prepared(view) for view in views]
        images, res = np.stack([at.fed.unit for at in ready]), np.array([at.res for at in ready], np.float32)
        return PatchSet(images, res, patch_vectors(model(views[0].model), images, res))

    return of_patches("vectors", views, make)


def of_patches(what: str, views: Sequence[PageView], make: Callable[[], Any], *more: Hashable) -> Any:
    """What was found about the patches of several tiles, by what it is and what `more` it hangs on; made once."""
    return shelf("patches", 64).once(
        (what, *more, *((view.model, view.tile, view.policy) for view in views)), make
    )


def verdict(view: PageView, made: Reconstruction) -> Verdict:
    """Scores of a view's reconstruction beside the fills."""
    from core.judge import judge

    return _judged().once(question(view), lambda: judge(made))


def exported(view: PageView, asker: str) -> tuple[Reconstruction, Verdict]:
    """What files are made of: the view's reconstruction and scores, computed on one thread so that the bytes are those of the command."""
    from core.engine.reconstruct import reconstruct
    from core.judge import judge

    def compute() -> Reconstruction:
        network = model(view.model)
        side = view.tile.size_px or network.card.input_px
        tile = ground(view.tile, side)
        with _queue(network).turn(f"{asker} export"):
            return reconstruct(network, tile, view.mask, view.policy, size_px=side, repeatable=True)

    key = (question(view), "export")
    made = _made().once(key, compute)
    return made, _judged().once(key, lambda: judge(made))


def spreads(
    view: PageView, count: int, asker: str, say: Callable[[str], None] | None = None
) -> Iterator[Spread]:
    """Mean and deviation over `count` masks, growing as the pictures come; once complete, only the last."""
    key = (question(view), count)
    if (found := _studies().get(key)) is not None:
        yield found
        return
    from core.studies import monte_carlo

    network, spread = reconstructor(view.model), None
    side = view.tile.size_px or network.card.input_px
    turn = partial(_queue(network).turn, f"{asker} study")
    for spread in monte_carlo(
        network,
        ground(view.tile, side),
        view.mask,
        view.policy,
        count=count,
        size_px=side,
        turn=turn,
        say=say,
    ):
        yield spread
    _studies().put(key, spread)


def sweep(view: PageView, asker: str) -> tuple[SweepStep, ...]:
    """Reconstructions of a view with more and more hidden."""
    key = (view.model, view.tile, view.policy, replace(view.mask, ratio=0.5))
    if (found := _studies().get(key)) is not None:
        return found
    from core.studies import ratio_series

    network = reconstructor(view.model)
    side = view.tile.size_px or network.card.input_px
    turn = partial(_queue(network).turn, f"{asker} study")
    return _studies().put(
        key,
        tuple(
            ratio_series(network, ground(view.tile, side), view.mask, view.policy, size_px=side, turn=turn)
        ),
    )


def pace(name: str, tile_px: int, losses: bool, asker: str) -> float:
    """Tiles per second of a sweep on this device, measured once."""

    def measure() -> float:
        from core.engine.embedding.pace import pace
        from core.masking import MaskSpec, make_mask

        network = model(name)
        cells = tile_px // network.card.patch_px
        with _queue(network).turn(f"{asker} pace"):
            return pace(network, tile_px, mask=make_mask(MaskSpec(), cells, cells) if losses else None)

    return shelf("pace", 64).once((name, tile_px, losses), measure)


def vector_like(
    recipe: tuple[tuple[str, Any], ...], picture: bytes | TileSpec, gsd_m: float | None, asker: str
) -> Any:
    """A picture's vector (d,), made as the rows of a table were: `recipe` (column, value) of one of them."""
    from hashlib import sha256

    def make() -> Any:
        from core.engine.device import device
        from core.engine.embedding.query import embed_like
        from core.engine.turns import turns

        shown = catalogue().read(picture) if isinstance(picture, TileSpec) else picture
        with turns(device().kind).turn(f"{asker} query"):
            return embed_like(dict(recipe), shown, gsd_m)

    what = picture if isinstance(picture, TileSpec) else sha256(picture).digest()
    return shelf("queries", 128).once((recipe, what, gsd_m), make)


def _queue(network: Encoder) -> Turns:
    from core.engine.device import device_of
    from core.engine.turns import turns

    return turns(device_of(network).kind)


def question(view: PageView) -> Hashable:
    """What a reconstruction depends on."""
    return view.model, view.tile, view.policy, view.mask
