"""Widgets that return specs: mask, scale, policy, bands. Each starts from the view on screen."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import streamlit as st

from core.geo import GeoError, TileRef, TileSpec
from core.geo.gallery import GalleryEntry
from core.masking import KINDS, MAX_SEED, MaskSpec, make_mask
from core.models.registry import ModelCard
from core.policy import MAX_RES, POLICIES, Policy
from core.session import PageView
from core.units import metres
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.style import GROUP

FIRST_TITLE = "Salt ponds, Utah"
PAINTED = "cells"
MAX_SIZE_ON_SLIDER = 14
"""Maximum of the size slider, in patches. A larger size from a link is kept until the slider is moved."""
MIN_RES = 1e-6


def group(title: str) -> None:
    """A title above the controls that belong together."""
    st.html(f"<div class='{GROUP}'>{title}</div>")


def default_view() -> PageView:
    """The view of a first visit: the default network and a gallery tile at the default mask ratio."""
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
    """The first 12 characters of the SHA-256 of a model's weights; "" if it is untrained."""
    return card.weights.sha256[:12] if card.weights else ""


def policy_of(card: ModelCard) -> Policy:
    """The default policy of a model."""
    return Policy(card.default_policy)


def tile_of(entry: GalleryEntry, side_px: int) -> TileSpec:
    """A gallery tile at the GSD where a network with this input side sees the same ground."""
    spec = entry.spec
    gsd_m = spec.gsd_m * spec.size_px / side_px if spec.gsd_m and spec.size_px else spec.gsd_m
    return replace(spec, gsd_m=gsd_m, size_px=None)


def mask_controls(mask: MaskSpec, rows: int, cols: int) -> MaskSpec:
    """Choose the mask: kind, ratio, seed, size, inversion.

    Switching to painting starts from the current mask.
    """
    kind = st.selectbox(
        "Mask kind",
        list(KINDS),
        key=state.widget("kind", mask.kind),
        format_func=lambda kind: KINDS[kind].label,
        help="Which patches are hidden from the network.",
    )
    if kind == PAINTED:
        return mask if mask.kind == PAINTED else painted(make_mask(mask, rows, cols).hidden)
    uses = KINDS[kind].uses
    base = MaskSpec(kind) if mask.kind == PAINTED else mask
    percent = base.ratio * 100
    if "ratio" in uses:
        percent = st.slider(
            "Masking ratio",
            0,
            100,
            format="%d %%",
            key=state.widget("percent", round(percent)),
            help="Share of the patches that is hidden. Pretraining usually hides 75 %.",
        )
        if round(base.ratio * 100) == percent:
            percent = base.ratio * 100
    seed = _seed(base.seed) if "seed" in uses else base.seed
    size = base.size
    with st.popover("Mask options", width="stretch"):
        if "size" in uses:
            position = min(size, MAX_SIZE_ON_SLIDER)
            chosen = st.slider(
                "Size in patches (0 = automatic)",
                0,
                MAX_SIZE_ON_SLIDER,
                key=state.widget("cells", position),
                help=plain(KINDS[kind].size),
            )
            size = size if chosen == position else chosen
        invert = st.toggle(
            "Invert mask",
            key=state.widget("invert", base.invert),
            help="Hide the visible patches and show the hidden ones.",
        )
        st.caption(f"{plain(KINDS[kind].label)}: {plain(KINDS[kind].hides)}.")
    return MaskSpec(kind, ratio=percent / 100, seed=seed, size=size, invert=invert)


def painted(hidden: object) -> MaskSpec:
    """The spec of a painted mask, given as bool (rows, cols)."""
    import numpy as np

    grid = np.asarray(hidden, bool)
    return MaskSpec(
        PAINTED, cells=tuple(np.flatnonzero(grid).tolist()), painted_on=(grid.shape[0], grid.shape[1])
    )


def _seed(seed: int) -> int:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", wrap=False):
        key = state.widget("seed", seed)
        button = st.container(width="content")
        number = int(
            st.number_input(
                "Seed", 0, MAX_SEED, step=1, key=key, help="The same seed always gives the same mask."
            )
        )
    with button:
        st.button(
            "",
            icon=":material/casino:",
            help="Draw another mask",
            on_click=_draw_seed,
            key="roll",
            shortcut="M",
        )
    return number


def _draw_seed() -> None:
    state.set_widget("seed", random.randrange(10_000))


def input_size(view: PageView, card: ModelCard) -> int | None:
    """Choose the input size in pixels a side; None means the network's own."""
    from core.engine.inputs import input_sizes

    sizes = sorted({*input_sizes(card.patch_px, card.input_px), view.tile.size_px or card.input_px})
    label = {size: f"{size} px · {size // card.patch_px} x {size // card.patch_px} patches" for size in sizes}
    size = st.selectbox(
        "Input size",
        sizes,
        key=state.widget(f"size:{card.name}", view.tile.size_px or card.input_px),
        format_func=label.__getitem__,
        help="Pixels a side that the network receives. Its own size is the one it was trained at.",
    )
    return None if size == card.input_px else size


def gsd_control(tile: TileSpec, side_px: int) -> TileSpec:
    """Choose the ground sample distance as fed: the whole tile, or steps of the square root of two."""
    try:
        finest, coarsest = gsd_range(tile, side_px)
    except GeoError as problem:
        st.caption(plain(problem))
        return tile
    count = max(0, math.floor(math.log2(coarsest / finest) * 2 + 1e-6))
    steps = [float(f"{finest * 2 ** (n / 2):.3g}") for n in range(count + 1)]
    offered = {step for step in steps if step <= coarsest} | ({tile.gsd_m} if tile.gsd_m else set[float]())
    no_gsd = "native" if tile.lonlat else "whole tile"
    options: list[float | None] = [None, *sorted(offered)]
    gsd_m = st.select_slider(
        "Ground sample distance as fed",
        options,
        key=state.widget("gsd", tile.gsd_m),
        format_func=lambda gsd: no_gsd if gsd is None else metres(gsd),
        help="Metres on the ground that one input pixel covers. A coarser distance shows more ground.",
    )
    return replace(tile, gsd_m=gsd_m)


def gsd_range(tile: TileSpec, side_px: int) -> tuple[float, float]:
    """The finest and coarsest GSD in metres: half the native GSD, and where the input covers the picture."""
    from core.engine.scales import gsd_limits

    return gsd_limits(cached.catalogue().source(tile.ref.source), tile, side_px)


def with_available_bands(tile: TileSpec) -> TileSpec:
    """The tile with its default bands if a link asks for bands that the picture does not have."""
    try:
        bands = cached.catalogue().source(tile.ref.source).header(tile.ref.key).bands
    except GeoError:
        return tile  # reported where the tile is read
    if tile.rgb is None or max(tile.rgb) < len(bands):
        return tile
    requested = ", ".join(str(band + 1) for band in tile.rgb)
    available = f"{len(bands)} bands" if len(bands) > 1 else "a single band"
    st.warning(
        f"The link asks for bands {plain(requested)}, but this picture has "
        f"{plain(available)}. Its default bands are shown instead.",
        icon=":material/link_off:",
    )
    return replace(tile, rgb=None)


def band_control(tile: TileSpec) -> TileSpec:
    """Choose the three bands that are shown and fed to the network, if the picture has more than three."""
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
    """Choose how the GSD is converted to res, the input of the positional encoding."""
    if not card.gsd_aware:
        st.caption(f"Not scale-aware: {plain(card.name)} has a static positional encoding.")
        return policy
    name = st.selectbox(
        "Policy",
        list(POLICIES),
        key=state.widget(f"policy:{card.name}", policy.name),
        format_func=lambda name: POLICIES[name].label,
        help="How the ground sample distance is converted to `res`, which scales the positional encoding.",
    )
    if not POLICIES[name].takes_value:
        return Policy(name)
    value = st.number_input(
        "res", MIN_RES, MAX_RES, step=0.5, format="%g", key=state.widget("res", policy.value or 1.0)
    )
    return Policy(name, float(value))


def ref_title(ref: TileRef) -> str:
    """The title of a picture."""
    try:
        entry = cached.catalogue().source(ref.source).entry(ref.key)
    except GeoError:
        return ref.key
    return entry.title or ref.key
