"""The only module with st.cache_*: core functions cached by spec. torch and timm load on first use."""

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
from ui.shell.result_cache import ResultCache

if TYPE_CHECKING:
    from core.engine.reconstruct import Prepared
    from core.engine.results import RatioStep, Reconstruction, Spread
    from core.engine.tokens import PatchSet
    from core.engine.turns import Turns
    from core.judge import Verdict
    from core.models.base import Encoder, Reconstructor
    from core.models.registry import ModelCard

THUMBNAIL_PX = 160


@st.cache_resource(show_spinner=False)
def catalogue() -> Catalogue:
    """All tile sources of this server."""
    from ui.shell.pictures import pictures
    from ui.shell.uploads import UploadedImagery

    known = known_sources(
        uploads=pictures.source
    )  # stored outside this cache, so clearing it keeps the uploads
    known.add(UploadedImagery())
    return known


@st.cache_resource(show_spinner=False)
def gallery() -> tuple[GalleryEntry, ...]:
    """The gallery tiles whose source is available."""
    return gallery_of(catalogue())


@st.cache_data(max_entries=512, show_spinner=False)
def thumbnail_of(spec: TileSpec, px: int = THUMBNAIL_PX) -> bytes:
    """A thumbnail of a tile as JPEG; of a large picture, only the middle is read."""
    from core.viz.sheet import jpeg

    header = catalogue().source(spec.ref.source).header(spec.ref.key)
    if (
        not (spec.window or spec.lonlat or spec.gsd_m or spec.size_px)
        and min(header.width, header.height) > 4 * px
    ):
        spec = replace(spec, size_px=2 * px)
    return jpeg(thumbnail(catalogue().read(spec), px), 88)


def ground(spec: TileSpec, side_px: int) -> Tile:
    """The tile of a spec, at the finest resolution that a network with this input side can use."""
    from core.engine.inputs import read_ground

    return result_cache("ground", 64).get_or_compute(
        (spec, side_px), lambda: read_ground(catalogue().read, spec, side_px)
    )


@st.cache_resource(show_spinner=False)
def weight_files() -> dict[str, Path]:
    """Weights files in the data folders, by file name; pages reach no other paths."""
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
    """Model cards by name: the default first, then the trained ones."""
    from core.models import cards as all_cards
    from core.models import default_reconstructor

    first = default_reconstructor()
    return dict(sorted(all_cards().items(), key=lambda item: (item[0] != first, not item[1].trained)))


def model(name: str) -> Encoder:
    """The process-wide copy of a network, by the name of a preset or weights file (see `weights.resolve`)."""
    from core.engine.loaded import load

    return load(weights.resolve(name, weight_files()))


def reconstructor(name: str) -> Reconstructor:
    """A network that reconstructs. Raises InputError for an encoder without a decoder."""
    from core.engine.reconstruct import require_reconstructor

    return require_reconstructor(model(name))


def report(name: str) -> tuple[str, ...]:
    """The load report of a weights file, one sentence per item; empty for presets."""
    from core.models import LoadReport

    loaded = getattr(model(name), "report", None)
    return (
        loaded.sentences() if isinstance(loaded, LoadReport) and weights.is_file(name, weight_files()) else ()
    )


def card_of(name: str) -> ModelCard:
    """The card of a network; a weights file is loaded for it."""
    return cards()[name] if name in cards() else model(name).card


@st.cache_resource(show_spinner=False)
def _reconstructions() -> ResultCache:
    return ResultCache(128)


@st.cache_resource(show_spinner=False)
def _verdicts() -> ResultCache:
    return ResultCache(128)


@st.cache_resource(show_spinner=False)
def _vectors() -> ResultCache:
    return ResultCache(1024)


@st.cache_resource(show_spinner=False)
def _studies() -> ResultCache:
    return ResultCache(16)


@st.cache_resource(show_spinner=False)  # no limit: there are only a few names, all in this program
def result_cache(name: str, limit: int) -> ResultCache:  # noqa: ARG001  (the name is the cache's key)
    """A cache of the `limit` latest results of one kind, shared by all users, for modules with own keys."""
    return ResultCache(limit)


def forget(name: str) -> None:
    """Drop all results computed with a deleted network."""
    for cache in (
        _reconstructions(),
        _verdicts(),
        _vectors(),
        _studies(),
        result_cache("pace", 64),
        result_cache("patches", 64),
        result_cache("exports", 32),
    ):
        for ending in ("", "+gsd", "+static"):
            cache.drop(name + ending)


weights.when_removed(forget)


def reconstruction(
    view: PageView, asker: str, on_place: Callable[[int], None] | None = None
) -> Reconstruction:
    """The reconstruction of a view.

    `asker` identifies the queue entry: a newer request replaces an older one (Superseded).
    """
    key = reconstruction_key(view)
    if (result := _reconstructions().get(key)) is not None:
        return result
    from core.engine.in_turn import reconstruct_in_turn
    from core.engine.reconstruct import ReconstructionRequest

    network = model(view.model)
    side = view.tile.size_px or network.card.input_px
    request = ReconstructionRequest(ground(view.tile, side), view.mask, view.policy, side)
    result = reconstruct_in_turn(network, request, _queue(network), asker, on_place)
    return _reconstructions().put(key, result)


def reconstructions(
    views: Sequence[PageView], asker: str
) -> Iterator[tuple[int, Reconstruction | ExplorerError]]:
    """Reconstructions of several views of one network: (index, result or error), cached ones first."""
    from core.engine.reconstruct import ReconstructionRequest, reconstruct_many

    if not views:
        return
    network, missing, requests = model(views[0].model), [], []
    for n, view in enumerate(views):
        if (result := _reconstructions().get(reconstruction_key(view))) is not None:
            yield n, result
            continue
        side = view.tile.size_px or network.card.input_px
        try:
            requests.append(ReconstructionRequest(ground(view.tile, side), view.mask, view.policy, side))
            missing.append(n)
        except ExplorerError as problem:
            yield n, problem
    pieces, queue = reconstruct_many(network, requests), _queue(network)
    while True:
        with queue.turn(f"{asker} scales"):
            piece = next(pieces, None)
        if piece is None:
            return
        n = missing[piece[0]]
        yield n, _reconstructions().put(reconstruction_key(views[n]), piece[1])


def prepared(view: PageView) -> Prepared:
    """A view's tile as the network's input."""
    from core.engine.reconstruct import prepare

    network = model(view.model)
    side = view.tile.size_px or network.card.input_px
    return prepare(network, ground(view.tile, side), view.policy, side)


def vectors(views: Sequence[PageView]) -> list[Any]:
    """One image embedding per view, without a mask, at the view's scale and policy: float32 (d,) each."""
    from core.engine.embed import embed

    def make(view: PageView) -> Any:
        ready = prepared(view)
        gsd_m, native_m = ready.fed.tile.gsd, ready.tile.native_gsd_m
        return embed(
            model(view.model), ready.fed.unit[None], gsd_m=gsd_m, policy=view.policy, native_gsd_m=native_m
        )[0]

    return [
        _vectors().get_or_compute((view.model, view.tile, view.policy), partial(make, view)) for view in views
    ]


def patches(views: Sequence[PageView]) -> PatchSet:
    """The patch embeddings of several tiles under one network, without a mask."""
    from core.engine.tokens import PatchSet, patch_vectors

    def make() -> PatchSet:
        ready = [prepared(view) for view in views]
        images, res = np.stack([at.fed.unit for at in ready]), np.array([at.res for at in ready], np.float32)
        return PatchSet(images, res, patch_vectors(model(views[0].model), images, res))

    return of_patches("vectors", views, make)


def of_patches(what: str, views: Sequence[PageView], make: Callable[[], Any], *more: Hashable) -> Any:
    """A cached result about the patches of several tiles; `what` names it and `more` extends its key."""
    return result_cache("patches", 64).get_or_compute(
        (what, *more, *((view.model, view.tile, view.policy) for view in views)), make
    )


def verdict(
    view: PageView, result: Reconstruction, asker: str, on_place: Callable[[int], None] | None = None
) -> Verdict:
    """Scores of a view's reconstruction and of the baseline fills.

    They wait until no picture does; a newer request of `asker` replaces an older one (Superseded), and an
    error of `on_place` withdraws the request.
    """
    from core.judge import judge

    def compute() -> Verdict:
        with _queue(model(view.model)).turn(f"{asker} verdict", on_place, patient=True):
            return judge(result)

    return _verdicts().get_or_compute(reconstruction_key(view), compute, lambda: on_place and on_place(1))


def after_pictures(view: PageView, asker: str, on_place: Callable[[int], None] | None = None) -> None:
    """Wait for the pictures of other people, which go before the scores and sections of this one.

    A newer request of `asker` replaces an older one (Superseded), and an error of `on_place` withdraws it.
    """
    with _queue(model(view.model)).turn(f"{asker} rest", on_place, patient=True):
        pass


def exported(view: PageView, asker: str) -> tuple[Reconstruction, Verdict]:
    """Reconstruction and scores for exports, computed on one thread so that bytes match the command's."""
    from core.export import reconstruct_view

    def compute() -> tuple[Reconstruction, Verdict]:
        network = model(view.model)
        side = view.tile.size_px or network.card.input_px
        tile = ground(view.tile, side)
        with _queue(network).turn(f"{asker} export"):
            return reconstruct_view(view, network, tile)

    return result_cache("exports", 32).get_or_compute(reconstruction_key(view), compute)


def spreads(
    view: PageView, count: int, asker: str, say: Callable[[str], None] | None = None
) -> Iterator[Spread]:
    """Running mean and standard deviation over `count` masks; only the final one if it is cached."""
    key = (reconstruction_key(view), count)
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


def sweep(view: PageView, asker: str) -> tuple[RatioStep, ...]:
    """Reconstructions of a view at increasing mask ratios."""
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
    """Tiles per second of an embedding run on this device, measured once."""

    def measure() -> float:
        from core.engine.embedding.speed import tiles_per_second
        from core.masking import MaskSpec, make_mask

        network = model(name)
        cells = tile_px // network.card.patch_px
        with _queue(network).turn(f"{asker} pace"):
            mask = make_mask(MaskSpec(), cells, cells) if losses else None
            return tiles_per_second(network, tile_px, mask=mask)

    return result_cache("pace", 64).get_or_compute((name, tile_px, losses), measure)


def vector_like(
    recipe: tuple[tuple[str, Any], ...], picture: bytes | TileSpec, gsd_m: float | None, asker: str
) -> Any:
    """A picture's embedding (d,), computed like a table's rows; `recipe`: one row's (column, value) pairs."""
    from hashlib import sha256

    def make() -> Any:
        from core.engine.device import device
        from core.engine.embedding.query import embed_like
        from core.engine.turns import turns

        shown = catalogue().read(picture) if isinstance(picture, TileSpec) else picture
        with turns(device().kind).turn(f"{asker} query"):
            return embed_like(dict(recipe), shown, gsd_m)

    what = picture if isinstance(picture, TileSpec) else sha256(picture).digest()
    return result_cache("queries", 128).get_or_compute((recipe, what, gsd_m), make)


def _queue(network: Encoder) -> Turns:
    from core.engine.device import device_of
    from core.engine.turns import turns

    return turns(device_of(network).kind)


def reconstruction_key(view: PageView) -> Hashable:
    """The cache key of a view's reconstruction."""
    return view.model, view.tile, view.policy, view.mask
