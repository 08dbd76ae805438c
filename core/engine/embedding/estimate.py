"""What an embedding run takes before it is started: tiles, bytes, device-hours, wall time and money.

Speeds are measured here, for a few seconds each: the networks on noise, reading on tiles of the sources, and
storing on a shard of noise. The slowest of the three limits the run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...geo.sources.raster import GeoTiff
from ...geo.tile import require_gsd
from ..loaded import load
from .count import MOST_TILES
from .folder import EmbeddingFolder
from .plan import EmbeddingPlan
from .prepare import make_sinks, measured_rate
from .read import OK, Reader
from .sinks.table import TableSink
from .spec import EmbeddingError, EmbeddingSpec, out_of

RGB16_BYTES = 6
"""Bytes of a pixel of three bands of 16 bits, before compression."""
ROUNDS = 3
"""Measurements of the speed of the networks, of which the median is used."""
SAMPLED_BATCHES = 8
"""Number of batches, spread evenly over the plan, on which reading speed is measured."""
READ_S = 3.0
"""Longest measurement of reading speed, in seconds."""
SAMPLE_SIDE = 64
"""Rows and columns of tiles on which storing is measured if only an area is given."""


@dataclass(frozen=True)
class Rates:
    """Speeds in tiles per second.

    `network` is that of one worker, all devices of its machine together; `read` that of one worker's reading
    thread, None for an area; `stored` that of the leader.
    """

    network: float
    read: float | None
    stored: float


@dataclass(frozen=True)
class Estimate:
    """Size and cost of a run by `workers`.

    `tiles` are counted once, however many models embed them. `read_bytes` is the size of the source files, or
    for an area that of three bands of 16 bits before compression. `worker_hours` is the time of all workers
    together, `wall_s` the time until the table is complete, `limit` what it is limited by: "network",
    "reading" or "storing". `cost` is in the currency of the price of a worker-hour; None without a price.
    `tables` is the number of runs that are needed, because one plan holds MOST_TILES windows.
    """

    tiles: int
    tile_px: int
    area_km2: float
    batch: int
    tables: int
    read_bytes: float
    written_bytes: float
    rates: Rates
    workers: int
    worker_hours: float
    wall_s: float
    limit: str
    cost: float | None


def estimate(
    spec: EmbeddingSpec,
    models: Sequence[str],
    *,
    workers: int = 1,
    tiles_per_s: float | None = None,
    price_per_hour: float | None = None,
    area_km2: float | None = None,
    untrusted: bool = False,
) -> Estimate:
    """Estimate a run of a spec, or over `area_km2` at the GSD of a spec without sources; writes nothing.

    `tiles_per_s` replaces the measured speed of the networks of one worker, for instance by that of another
    machine. Raises EmbeddingError for impossible numbers, and the errors of planning.
    """
    _require_possible(spec, workers, tiles_per_s, price_per_hour, area_km2)
    specs = [replace(spec, model=model, out=out_of(spec.out, model)) for model in models]
    folders = [EmbeddingFolder(Path(each.out)) for each in specs]
    with tempfile.TemporaryDirectory() as place:
        if area_km2 is not None:
            sample = _sample(Path(place) / "sample.tif", spec, specs[0].model)
            specs = [replace(each, sources=(sample,), stride_px=1, gsd_m=(), only=()) for each in specs]
        sinks = make_sinks(specs, folders, untrusted=untrusted)
        plan, tile_px = sinks[0].plan, sinks[0].tile_px
        stored, row_bytes = _storing(sinks)
        rates = Rates(
            tiles_per_s or statistics.median(measured_rate(sinks) for _ in range(ROUNDS)) / len(sinks),
            None if area_km2 else _reading(sinks[0]),
            stored,
        )
    if area_km2 is None:
        tiles, read_bytes, area_km2 = plan.count, _file_bytes(plan), plan.area_km2(tile_px)
    else:
        hop_km = [(spec.stride_px or tile_px) * gsd / 1000 for gsd in spec.gsd_m]
        tiles = max(1, round(sum(area_km2 / hop**2 for hop in hop_km)))
        read_bytes = tiles * tile_px**2 * RGB16_BYTES
    seconds = {"network": tiles / rates.network / workers}
    if rates.read:
        seconds["reading"] = tiles / rates.read / workers
    hours = max(seconds.values()) * workers / 3600  # workers end before the leader has stored all shards
    seconds["storing"] = tiles / stored
    limit = max(seconds, key=seconds.__getitem__)
    return Estimate(
        tiles, tile_px, area_km2, sinks[0].batch, -(-tiles // MOST_TILES), read_bytes, tiles * row_bytes,
        rates, workers, hours, seconds[limit], limit,
        None if price_per_hour is None else hours * price_per_hour,
    )  # fmt: skip


def _require_possible(
    spec: EmbeddingSpec, workers: int, tiles_per_s: float | None, price: float | None, area_km2: float | None
) -> None:
    if workers < 1:
        raise EmbeddingError(f"A run needs at least one worker; {workers} is not enough.")
    for name, value in (("pace", tiles_per_s), ("price", price), ("area", area_km2)):
        if value is not None and not 0 < value < 1e15:
            raise EmbeddingError(f"The {name} must be a positive number; {value:g} is not.")
    if area_km2 is not None:
        if spec.sources or not spec.gsd_m:
            raise EmbeddingError("An area is planned without sources, and with a GSD (--gsd-m).")
        for gsd in spec.gsd_m:
            require_gsd(gsd)


def _sample(path: Path, spec: EmbeddingSpec, model: str) -> str:
    """Write a raster of noise whose tiles, one pixel apart, fill a shard; return its path."""
    import rasterio
    from rasterio.transform import from_origin

    side = (spec.tile_px or load(model).card.input_px) + SAMPLE_SIDE - 1
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", crs="EPSG:32633",
        transform=from_origin(5e5, 5e6, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(0).integers(1, 255, (3, side, side), dtype=np.uint8))
    return str(path)


def _reading(sink: TableSink) -> float:
    """Measure how many tiles per second one thread reads, on batches spread over the plan."""
    chosen = np.unique(np.linspace(0, sink.batches - 1, SAMPLED_BATCHES).astype(int)).tolist()
    reader = Reader(sink.plan, sink.tile_px, sink.batch, sink.spec.min_valid)
    start, tiles = time.perf_counter(), 0
    for batch in reader.batches(iter(chosen)):
        tiles += len(batch.state)
        if time.perf_counter() - start > READ_S:
            break
    return tiles / max(time.perf_counter() - start, 1e-9)


def _storing(sinks: Sequence[TableSink]) -> tuple[float, float]:
    """Store the first shard with vectors of noise; return tiles per second and bytes per tile."""
    start, written, count = time.perf_counter(), 0, 1
    for sink in sinks:
        count = min(sink.spec.shard_tiles, sink.total)
        vectors = np.random.default_rng(0).standard_normal((count, sink.recipe.info.dimensions), np.float32)
        arrays = {
            "state": np.full(count, OK, np.uint8),
            "valid": np.ones(count, np.float32),
            "vectors": vectors,
            **{name: np.ones(count, np.float32) for name in ("res", "low", "high")},
        }
        with tempfile.TemporaryDirectory() as place:
            written += sink.write_rows(EmbeddingFolder(Path(place)), 0, arrays).bytes
    return count / max(time.perf_counter() - start, 1e-9), written / count


def _file_bytes(plan: EmbeddingPlan) -> float:
    """Return the size of the source files in bytes; pictures in packs count with their pixels."""
    total = 0.0
    for source, key in {(grid.source, grid.key) for grid in plan.grids}:
        picture = source.opened(key)
        origin = picture.origin if isinstance(picture, GeoTiff) else None
        if isinstance(origin, Path):
            total += origin.stat().st_size
        else:
            total += picture.header.width * picture.header.height * len(picture.header.bands)
    return total
