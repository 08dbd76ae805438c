"""What a request asks for, computed without HTTP: bytes of an image and plain options in, results out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atlas.search.listing import rows_of
from ..atlas.search.neighbors import example_query, nearest
from ..atlas.store.table import EmbeddingTable
from ..engine.device import device
from ..engine.embedding.query import embed_like
from ..engine.in_turn import embed_in_turn, reconstruct_in_turn
from ..engine.inputs import feed, read_ground, require_side
from ..engine.loaded import load
from ..engine.reconstruct import ReconstructionRequest
from ..engine.results import Reconstruction
from ..engine.turns import Turns, turns
from ..errors import ExplorerError
from ..geo import Source, TileSpec, open_source
from ..judge import Verdict, judge
from ..masking import mask_from_text
from ..models.base import Encoder
from ..models.registry import ModelNameError, cards, default_embedder, default_reconstructor
from ..policy import Policy, policy_from_text

MOST_IMAGES = 64
MOST_NEIGHBORS = 1000
MOST_WAITING = 64


class RequestError(ExplorerError):
    """A request that asks for something that the service does not offer."""


class TooBusyError(ExplorerError):
    """Too many requests are waiting for the device."""


@dataclass(frozen=True)
class Upload:
    """An image as it was sent: its bytes, and the name of its file, which only appears in messages."""

    data: bytes
    name: str

    def open(self, gsd_m: float | None) -> Source:
        """Open it in a child process. `gsd_m`: metres per pixel, if the file does not state it."""
        return open_source(self.data, name=self.name, gsd_m=gsd_m)


@dataclass(frozen=True, eq=False)
class Embedded:
    """Vectors (n, d) float32 of n images, the GSDs in metres at which they were fed, and what made them."""

    vectors: NDArray[np.float32]
    gsd_m: tuple[float, ...]
    model: str
    weights_sha256: str | None
    pooling: str


def reconstruct(
    upload: Upload,
    *,
    mask: str = "random-75-s0",
    model: str | None = None,
    policy: str | None = None,
    gsd_m: float | None = None,
    window: Sequence[int] | None = None,
    size_px: int | None = None,
) -> Reconstruction:
    """Reconstruct part of an image with the hidden patches of a mask in its text form.

    `window` is (column, row, width, height) in pixels; the default is the largest centred square. Raises
    ExplorerError for invalid options and images, and TooBusyError.
    """
    network = _network(model or default_reconstructor())
    side = require_side(size_px or network.card.input_px, network.card.patch_px)
    source = upload.open(gsd_m)
    box = None if window is None else (window[0], window[1], window[2], window[3])
    tile = read_ground(source.read, TileSpec(source.ref(), window=box), side)
    request = ReconstructionRequest(tile, mask_from_text(mask), _policy(network, policy), side)
    return reconstruct_in_turn(network, request, _queue())


def evaluate(result: Reconstruction) -> Verdict:
    """Score a reconstruction beside the classical fills. Raises RequestError if nothing can be scored."""
    if not result.scored.any():
        raise RequestError("No patch is hidden, so there is nothing to score: choose another mask.")
    return judge(result)


def embed(
    uploads: Sequence[Upload],
    *,
    model: str | None = None,
    policy: str | None = None,
    pooling: str | None = None,
    gsd_m: float | None = None,
    size_px: int | None = None,
) -> Embedded:
    """Embed the centred square of each image. Raises the errors of `reconstruct`."""
    if not 0 < len(uploads) <= MOST_IMAGES:
        raise RequestError(f"Send 1 to {MOST_IMAGES} images in one request; this one has {len(uploads)}.")
    network = _network(model or default_embedder())
    card, chosen = network.card, _policy(network, policy)
    side = require_side(size_px or card.input_px, card.patch_px)
    vectors: list[NDArray[np.float32]] = []
    gsds: list[float] = []
    for upload in uploads:
        source = upload.open(gsd_m)
        tile = source.read(TileSpec(source.ref()))
        fed = feed(tile, side)
        vectors.append(embed_in_turn(network, fed, _queue(), chosen, pooling, native_gsd_m=tile.native_gsd_m))
        gsds.append(fed.tile.gsd)
    weights = card.weights.sha256 if card.weights else None
    return Embedded(np.stack(vectors), tuple(gsds), card.name, weights, pooling or card.pooling)


def search(
    table: EmbeddingTable,
    *,
    upload: Upload | None = None,
    row: str | None = None,
    lonlat: tuple[float, float] | None = None,
    gsd_m: float | None = None,
    k: int = 10,
) -> dict[str, Any]:
    """Find the rows of a table most similar to an image, to a row, or to the row closest to a place."""
    if sum(each is not None for each in (upload, row, lonlat)) != 1:
        raise RequestError("Search by one of: an image, a row, or a longitude and latitude.")
    if not 0 < k <= MOST_NEIGHBORS:
        raise RequestError(f"k must be 1 to {MOST_NEIGHBORS}, not {k}.")
    table.require_one_model()
    if upload is not None:
        like = table.columns.slice(0, 1).to_pylist()[0]
        with _queue().turn():
            query, exclude = embed_like(like, upload.data, gsd_m), []
    else:
        asked = table.nearest_place(*lonlat) if lonlat is not None else table.row_of(str(row))
        query, exclude = example_query(table, [asked]), [asked]
    found = nearest(table, query, k, exclude=exclude)
    return {"table": table.name, "query": exclude, "note": found.note, "neighbors": rows_of(table, found)}


def models() -> list[dict[str, Any]]:
    """Describe the networks that requests can name: those with weights."""
    return [
        {
            "name": card.name,
            "title": card.title,
            "input_px": card.input_px,
            "patch_px": card.patch_px,
            "reconstructs": card.reconstructs,
            "default_policy": card.default_policy,
            "pooling": card.pooling,
            "weights_sha256": card.weights.sha256 if card.weights else None,
            "licence": card.licence,
        }
        for card in cards().values()
        if card.trained
    ]


def _network(name: str) -> Encoder:
    """Load a bundled network; a request cannot name a file, a network of timm or one of the hub."""
    card = cards().get(name)
    if card is None or not card.trained:
        offered = ", ".join(each["name"] for each in models())
        raise ModelNameError(f"There is no model {name!r:.60}: choose one of {offered}.")
    return load(name)


def _policy(network: Encoder, text: str | None) -> Policy:
    return policy_from_text(text) if text else Policy(network.card.default_policy)


def _queue() -> Turns:
    queue = turns(device().kind)
    if queue.waiting() >= MOST_WAITING:
        raise TooBusyError(f"{MOST_WAITING} requests are waiting already: try again in a few seconds.")
    return queue
