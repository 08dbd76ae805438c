"""Widgets that return specs: which model, which mask, at which scale, under which policy. They begin from the view that is shown."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import streamlit as st

from core.geo import GeoError, TileRef, TileSpec
from core.geo.gallery import GalleryEntry
from core.geo.ground import ground_gsd
from core.masking import KINDS, MAX_SEED, MaskSpec, make_mask
from core.models.registry import ModelCard
from core.policy import MAX_RES, POLICIES, Policy
from core.session import PageView
from core.units import metres
from ui.shell import cached, state
from ui.shell.escaping import plain

FIRST_TITLE = "Salt ponds, Utah"
PAINTED = "cells"
LARGEST_SLID = 14
"""Patches that the slider goes up to; a larger size of a link stays as it is until the slider is moved."""
LEAST_RES = 1e-6


def default_view() -> PageView:
    """What a newcomer sees: the default network, three quarters of a real tile hidden at random."""
    entries = cached.gallery()
    first = next((entry for entry in entries if entry.title == FIRST_TITLE), entries[0])
    name = next(iter(cached.cards()))
    return PageView(
        name,
        hash_of(cached.cards()[name]),
        tile_of(first, cached.cards()[name].input_px),
        policy_of(cached.cards()[name]),
        MaskSpec(),
    )


def hash_of(card: ModelCard) -> str:
    """The first characters of a model's weights' hash, "" where it is untrained."""
    return card.weights.sha256[:12] if card.weights else ""


def policy_of(card: ModelCard) -> Policy:
    """The policy that a card asks for."""
    return Policy(card.default_policy)


def tile_of(entry: GalleryEntry, side_px: int) -> TileSpec:
    """A gallery's tile for a network of this side: the same ground."""
    spec = entry.spec
    gsd_m = spec.gsd_m * spec.size_px / side_px if spec.gsd_m and spec.size_px else spec.gsd_m
    return replace(spec, gsd_m=gsd_m, size_px=None)


def other_mask(view: PageView) -> PageView:
    """The same view under another mask of its kind."""
    return replace(view, mask=replace(view.mask, seed=random.randrange(10_000)))


def mask_controls(mask: MaskSpec, rows: int, cols: int) -> MaskSpec:
    """What is hidden: kind, ratio, seed, size, inverse; a painting keeps what the last mask hid."""
    kind = st.selectbox(
        "Hide", list(KINDS), key=state.widget("kind", mask.kind), format_func=lambda kind: KINDS[kind].label
    )
    if kind == PAINTED:
        return mask if mask.kind == PAINTED else painted(make_mask(mask, rows, cols).hidden)
    uses = KINDS[kind].uses
    fresh = MaskSpec(kind) if mask.kind == PAINTED else mask
    percent = fresh.ratio * 100
    if "ratio" in uses:
        percent = st.slider(
            "Share hidden", 0, 100, format="%d %%", key=state.widget("percent", round(percent))
        )
        if round(fresh.ratio * 100) == percent:
            percent = fresh.ratio * 100
    seed = _seed(fresh.seed) if "seed" in uses else fresh.seed
    size = fresh.size
    with st.popover("More of the mask", width="stretch"):
        if "size" in uses:
            shown = min(size, LARGEST_SLID)
            slid = st.slider(
                "Size in patches, 0: automatic",
                0,
                LARGEST_SLID,
                key=state.widget("cells", shown),
                help=plain(KINDS[kind].size),
            )
            size = size if slid == shown else slid
        invert = st.toggle("Hide what would be visible", key=state.widget("invert", fresh.invert))
        st.caption(f"{plain(KINDS[kind].label)}: {plain(KINDS[kind].hides)}.")
    return MaskSpec(kind, ratio=percent / 100, seed=seed, size=size, invert=invert)


def painted(hidden: object) -> MaskSpec:
    """The spec of a painted mask, bool (rows, cols)."""
    import numpy as np

    grid = np.asarray(hidden, bool)
    return MaskSpec(
        PAINTED, cells=tuple(np.flatnonzero(grid).tolist()), painted_on=(grid.shape[0], grid.shape[1])
    )


def _seed(seed: int) -> int:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", wrap=False):
        key = state.widget("seed", seed)
        dice = st.container(width="content")
        number = int(st.number_input("Seed", 0, MAX_SEED, step=1, key=key))
    with dice:
        st.button("", icon=":material/casino:", help="Draw another mask", on_click=_roll, key="roll")
    return number


def _roll() -> None:
    state.set_widget("seed", random.randrange(10_000))


def input_size(view: PageView, card: ModelCard) -> int | None:
    """The side that the network is fed with; None is the network's own."""
    from core.engine.inputs import input_sizes

    sizes = sorted({*input_sizes(card.patch_px, card.input_px), view.tile.size_px or card.input_px})
    label = {size: f"{size} px · {size // card.patch_px} x {size // card.patch_px} patches" for size in sizes}
    size = st.selectbox(
        "Input",
        sizes,
        key=state.widget(f"size:{card.name}", view.tile.size_px or card.input_px),
        format_func=label.__getitem__,
    )
    return None if size == card.input_px else size


def gsd_control(tile: TileSpec, side_px: int) -> TileSpec:
    """How much ground a pixel covers as fed: the tile as a whole, or steps of the square root of two."""
    try:
        finest, coarsest = gsd_range(tile, side_px)
    except GeoError as problem:
        st.caption(plain(problem))
        return tile
    count = max(0, math.floor(math.log2(coarsest / finest) * 2 + 1e-6))
    steps = [float(f"{finest * 2 ** (n / 2):.3g}") for n in range(count + 1)]
    steps = sorted({*(step for step in steps if step <= coarsest), *([tile.gsd_m] if tile.gsd_m else [])})
    whole = "native" if tile.lonlat else "whole tile"
    options: list[float | None] = [None, *steps]
    gsd_m = st.select_slider(
        "Ground sample distance as fed", options, key=state.widget("gsd", tile.gsd_m), format_func=lambda g: whole if g is None else metres(g),
        help="Metres on the ground of one pixel that the network receives. Coarser shows more ground, finer less.",
    )  # fmt: skip
    return replace(tile, gsd_m=gsd_m)


def gsd_range(tile: TileSpec, side_px: int) -> tuple[float, float]:
    """From half the native GSD to where the ground ends."""
    source = cached.catalogue().source(tile.ref.source)
    native = tile.stated_gsd_m or source.native_gsd_m(tile.ref.key)
    if tile.ref.source == "globe":
        return 1000.0, 10_000_000 / (2 * side_px)
    header = source.header(tile.ref.key)
    wide, high = 1.0, 1.0
    if header.crs is not None and header.transform is not None:  # degrees are shorter across than down
        east_west, north_south = ground_gsd(header.crs, header.transform, header.width / 2, header.height / 2)
        wide, high = math.sqrt(east_west / north_south), math.sqrt(north_south / east_west)
    across = (
        0.99 * min(header.width * wide, header.height * high) * native
    )  # a projection's metres are not the same everywhere on the picture
    return min(native / 2, across / side_px), across / side_px


def there(tile: TileSpec) -> TileSpec:
    """The tile, without bands that a link asks for and the picture does not have."""
    try:
        bands = cached.catalogue().source(tile.ref.source).header(tile.ref.key).bands
    except GeoError:
        return tile  # which is said where the tile is drawn
    if tile.rgb is None or max(tile.rgb) < len(bands):
        return tile
    asked = ", ".join(str(band + 1) for band in tile.rgb)
    have = f"{len(bands)} bands" if len(bands) > 1 else "a single band"
    st.warning(
        f"The link asks for the bands {plain(asked)}, but this picture has {plain(have)}: its usual colours are shown instead.",
        icon=":material/link_off:",
    )
    return replace(tile, rgb=None)


def duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    return (
        f"{max(1, seconds):.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def band_control(tile: TileSpec) -> TileSpec:
    """Which bands are shown and fed, where there are more than three."""
    header = cached.catalogue().source(tile.ref.source).header(tile.ref.key)
    if len(header.bands) <= 3:
        return tile
    now = tile.rgb or cached.ground(replace(tile, rgb=None), 16).rgb
    columns = st.columns(3, gap="small", wrap=False)
    chosen = [
        column.selectbox(
            plain(colour),
            range(len(header.bands)),
            key=state.widget(colour, band),
            format_func=header.bands.__getitem__,
        )
        for column, colour, band in zip(columns, ("Red", "Green", "Blue"), now, strict=True)
    ]
    rgb = (chosen[0], chosen[1], chosen[2])
    return tile if rgb == now else replace(tile, rgb=rgb)


def policy_control(policy: Policy, card: ModelCard) -> Policy:
    """How the GSD becomes res, the number that the positional code receives."""
    if not card.gsd_aware:
        st.caption(f"{plain(card.name)} does not know the GSD: its positions are static.")
        return policy
    name = st.selectbox(
        "Policy", list(POLICIES), key=state.widget(f"policy:{card.name}", policy.name), format_func=lambda name: POLICIES[name].label,
        help="How the ground sample distance becomes `res`, the number that the positions are multiplied by.",
    )  # fmt: skip
    if not POLICIES[name].takes_value:
        return Policy(name)
    value = st.number_input(
        "res", LEAST_RES, MAX_RES, step=0.5, format="%g", key=state.widget("res", policy.value or 1.0)
    )
    return Policy(name, float(value))


def ref_title(ref: TileRef) -> str:
    """What a picture is called."""
    try:
        entry = cached.catalogue().source(ref.source).entry(ref.key)
    except GeoError:
        return ref.key
    return entry.title or ref.key
