"""Measure what only a GPU can show, in under eight minutes, and write it as a table.

    python benchmarks/gpu.py [--model scale_mae_large] [--seconds 8] [--out gpu.md] [--anyway]
    python benchmarks/gpu.py --model mae_tiny --seconds 0.2 --rows 2000 --tiles 4 --batch 2 --no-compile
        the same measurements within seconds on a CPU, to see that they run

Measured are images per second and peak device memory of encoding and reconstruction in float32 and bfloat16,
with and without fused attention (SDPA) and torch.compile; an embedding run from raster to GeoParquet as a
share of the bare network; training steps; and an exact search over ten million vectors, by our scan on the
CPU and by a matrix product on the device. Each is timed for --seconds after a warm-up. One that fails is
reported with its error; one that would start after --limit-s is left out. The last line printed is a JSON
object.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _bare import load_once
from _quiet import load_or_leave
from _scenes import KINDS, write_scene

from core.engine import device as engine
from core.models.base import Encoder, Reconstructor

HIDDEN, DIMENSIONS, TOP, CHUNK = 0.75, 192, 100, 1_000_000


@dataclass(frozen=True)
class Measured:
    """One line of the table; `memory_gb` is the peak that torch allocated on a GPU."""

    what: str
    value: float | None
    unit: str
    memory_gb: float | None = None
    problem: str = ""


class Bench:
    """Runs measurements one after the other within a time limit, and keeps their results."""

    def __init__(self, seconds: float, limit_s: float) -> None:
        self.seconds, self._end = seconds, time.perf_counter() + limit_s
        self.on = engine.device()
        self.is_accelerated = self.on.torch.type != "cpu"
        self.results: list[Measured] = []

    def add(self, what: str, unit: str, measure: Callable[[], float]) -> float | None:
        """Take a measurement and print it; errors and missing time become a line as well."""
        value, problem = None, ""
        if time.perf_counter() > self._end:
            problem = "left out: the time is up"
        else:
            if self.is_accelerated:
                torch.accelerator.empty_cache()
                torch.accelerator.reset_peak_memory_stats()
            try:
                value = measure()
            except Exception as error:  # one failure must not cost the other figures
                problem = f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        memory = None
        if self.is_accelerated and value is not None:
            memory = torch.accelerator.max_memory_allocated() / 1e9
        self.results.append(Measured(what, value, unit, memory, problem))
        print(f"{what}: {problem or f'{value:,.4g} {unit}'}", file=sys.stderr, flush=True)
        return value

    def rate(self, work: Callable[[], object], count: int) -> float:
        """Return how many of `count` items a call are done per second, after two calls to warm up."""
        for _ in range(2):
            work()
        self.wait()
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < self.seconds:
            work()
            self.wait()
            done += count
        return done / (time.perf_counter() - start)

    def wait(self) -> None:
        """Wait until the device has finished."""
        if self.is_accelerated:
            torch.accelerator.synchronize()


@contextlib.contextmanager
def attention(network: Encoder, *, fused: bool) -> Any:
    """Switch timm's fused attention on or off."""
    parts = [part for part in network.modules() if hasattr(part, "fused_attn")]
    before = [part.fused_attn for part in parts]
    try:
        for part in parts:
            part.fused_attn = fused
        yield
    finally:
        for part, was in zip(parts, before, strict=True):
            part.fused_attn = was


@dataclass(frozen=True)
class Way:
    """How a network is run."""

    name: str
    bfloat16: bool
    fused: bool
    compiled: bool = False


WAYS = (
    Way("float32, SDPA", False, True),
    Way("bfloat16", True, False),
    Way("bfloat16, SDPA", True, True),
    Way("bfloat16, SDPA, compiled", True, True, True),
)


def run_network(bench: Bench, model: Encoder, task: str, way: Way, batch: int) -> float:
    """Return images per second of `encode` or `reconstruct`."""
    side, place = model.card.input_px, bench.on.torch
    patches = (side // model.patch_size) ** 2
    images, res = torch.rand(batch, 3, side, side, device=place), torch.ones(batch, device=place)
    arguments: tuple[Any, ...] = (images, res)
    if task == "reconstruct":
        visible = torch.arange(round(patches * (1 - HIDDEN)), device=place)
        arguments += (visible.expand(batch, -1),)
    method: Callable[..., object] = getattr(model, task)
    if way.compiled:
        method = torch.compile(method)
    precision = torch.autocast(place.type, dtype=torch.bfloat16, enabled=way.bfloat16)
    with torch.inference_mode(), precision, attention(model, fused=way.fused):
        return bench.rate(lambda: method(*arguments), batch)


def networks(bench: Bench, name: str, batch: int, *, compiled: bool) -> float | None:
    """Measure encoding and reconstruction; return the rate of encoding as the engine runs it."""
    model = load_once(name)
    as_engine = "bfloat16, SDPA" if bench.on.precision == "bfloat16" else "float32, SDPA"
    bare: float | None = None
    for task in ("encode", "reconstruct") if isinstance(model, Reconstructor) else ("encode",):
        for way in WAYS if compiled else WAYS[:3]:
            what = f"{task}, {name}, {model.card.input_px} px, batch {batch}, {way.name}"
            rate = bench.add(what, "images/s", partial(run_network, bench, model, task, way, batch))
            if (task, way.name) == ("encode", as_engine):
                bare = rate
    return bare


def embedding_run(bench: Bench, name: str, tiles: int, batch: int, bare: float | None) -> None:
    """Measure a run from raster to GeoParquet as a share of the bare network."""
    from embedding import embedded

    side = load_once(name).card.input_px
    with tempfile.TemporaryDirectory() as place:
        source = str(Path(place) / "scene.tif")
        write_scene(Path(source), KINDS["int16 deflate"], tiles)

        def measure() -> float:
            embedded(name, source, side, batch=batch)
            return embedded(name, source, side, batch=batch).wall

        rate = bench.add(f"raster to GeoParquet, {name}", "tiles/s", measure)
    if rate and bare:
        bench.add("the same as a share of the bare network", "", lambda: rate / bare)


def training(bench: Bench, name: str, batch: int) -> None:
    """Measure training steps on images in memory."""
    from core.engine.training.runs import TrainSpec
    from core.engine.training.train import Draw, Training

    def measure() -> float:
        side = load_once(name).card.input_px
        spec = TrainSpec("benchmark", name, steps=10**6, sides_px=(side,), batch=batch, ratios=(HIDDEN,))
        steps = Training(spec)
        patches = (side // steps.network.card.patch_px) ** 2
        generator, large = np.random.default_rng(0), side * steps.enlarge
        visible = round(patches * (1 - HIDDEN))
        keep = np.stack([generator.permutation(patches)[:visible] for _ in range(batch)])
        pixels = generator.integers(0, 255, (batch, 3, large, large), np.uint8)
        draw = Draw(pixels, side, keep, np.full(batch, 3.0, np.float32))
        return bench.rate(lambda: steps.advance(draw), batch)

    bench.add(f"training, {name}, batch {batch}", "images/s", measure)


def search(bench: Bench, rows: int) -> None:
    """Measure exact searches for the nearest rows, one query at a time."""
    import pyarrow as pa

    from core.atlas import EmbeddingTable
    from core.atlas.schema import SCALE, make_rows, vector_column
    from core.atlas.search.neighbors import nearest

    generator = np.random.default_rng(0)
    codes = generator.integers(-127, 128, (rows, DIMENSIONS), np.int8)
    query = generator.standard_normal(DIMENSIONS, np.float32)

    def on_cpu() -> float:
        others = make_rows(np.zeros((rows, 1), np.float32), {}).drop_columns(["embedding"])
        scale = pa.array(np.full(rows, 0.01, np.float32))
        table = EmbeddingTable.from_rows(
            others.append_column("embedding", vector_column(codes)).append_column(SCALE, scale), "int8"
        )
        return 1000 / bench.rate(lambda: nearest(table, query, TOP), 1)

    def on_device() -> float:
        stored = torch.from_numpy(codes).to(bench.on.torch)
        kind = torch.float16 if bench.is_accelerated else torch.float32
        norms = torch.cat([part.to(kind).float().norm(dim=1) for part in stored.split(CHUNK)])
        target = torch.from_numpy(query / np.linalg.norm(query)).to(bench.on.torch, kind)

        def once() -> object:
            cosines = torch.cat([part.to(kind) @ target for part in stored.split(CHUNK)]).float() / norms
            return cosines.topk(min(TOP, rows))

        return 1000 / bench.rate(once, 1)

    bench.add(f"exact search, {rows:,} x {DIMENSIONS} int8, top {TOP}, our scan on the CPU", "ms", on_cpu)
    bench.add(f"the same by a matrix product on {bench.on.name}", "ms", on_device)


def table(bench: Bench, load: float) -> str:
    """Write the results as Markdown."""
    head = f"{bench.on.name}, {bench.on.kind}, torch {torch.__version__}, load {load:.2f}"
    lines = [head, "", "| what | figure | peak device memory |", "|---|---|---|"]
    for one in bench.results:
        figure = one.problem or f"{one.value:,.4g} {one.unit}".strip()
        memory = "" if one.memory_gb is None else f"{one.memory_gb:.1f} GB"
        lines.append(f"| {one.what} | {figure} | {memory} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="scale_mae_large")
    parser.add_argument("--seconds", type=float, default=8.0, help="time of each measurement")
    parser.add_argument("--limit-s", type=float, default=420.0, help="start nothing new after this time")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--training-batch", type=int, help="default: a quarter of --batch")
    parser.add_argument(
        "--tiles", type=int, default=8192, help="size of the scene to embed, in tiles of 224 px"
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the search")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as Markdown")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    bench = Bench(args.seconds, args.limit_s)
    bare = networks(bench, args.model, args.batch, compiled=not args.no_compile)
    embedding_run(bench, args.model, args.tiles, args.batch, bare)
    training(bench, args.model, args.training_batch or max(1, args.batch // 4))
    search(bench, args.rows)
    written = table(bench, load)
    if args.out:
        args.out.write_text(written)
    print(written)
    found = {"device": asdict(bench.on), "load": load, "results": [asdict(one) for one in bench.results]}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
