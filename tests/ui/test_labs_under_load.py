"""The labs under load: results are never mixed up, painted masks reach the network, memory stays bounded."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from streamlit.testing.v1 import AppTest

from core.engine import loaded
from core.engine.loaded import ModelCache
from core.engine.results import Reconstruction
from core.geo import TileRef, TileSpec
from core.masking import MaskSpec, mask_from_text
from core.models import opening
from core.policy import Policy
from core.session import PageView, view_from_params
from tests.thorough import a_few
from ui.shell import cached
from ui.shell.result_cache import ResultCache

SIDE = 112
WAIT_S = 120
TILES = (
    TileSpec(TileRef("samples", "landsat"), size_px=SIDE),
    TileSpec(TileRef("samples", "landsat"), window=(60, 90, 200, 200), size_px=SIDE),
)
MODELS = ("scale_mae_tiny", "mae_tiny")
VIEWS = tuple(
    PageView(model, "", tile, Policy(), MaskSpec("random", seed=seed))
    for model in MODELS
    for tile in TILES
    for seed in range(3)
)


@pytest.fixture(scope="module", autouse=True)
def shallow_networks():
    """Presets with one block each, in separate caches: depth does not matter here."""
    one_block = partial(opening.create, depth=1, decoder_depth=1)
    own_models = ModelCache(2**30)
    caches = {name: ResultCache(128) for name in ("_reconstructions", "_verdicts", "_studies")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "create", one_block)
        patch.setattr(loaded, "model_cache", lambda: own_models)
        for name, cache in caches.items():
            patch.setattr(cached, name, partial(lambda cache: cache, cache))
        yield


@pytest.fixture
def small_cache(monkeypatch):
    """A cache of three results, so that requests are partly cached and partly recomputed."""
    held = ResultCache(3)
    monkeypatch.setattr(cached, "_reconstructions", lambda: held)
    return held


def uncached(network: Any, view: PageView) -> Reconstruction:
    """The result for a single user without caches."""
    from core.engine.inputs import read_ground
    from core.engine.reconstruct import reconstruct

    tile = read_ground(cached.catalogue().read, view.tile, SIDE)
    return reconstruct(network, tile, view.mask, view.policy, size_px=SIDE)


@pytest.fixture(scope="module")
def expected() -> dict[PageView, Reconstruction]:
    networks = {model: loaded._build(model) for model in MODELS}
    return {view: uncached(networks[view.model], view) for view in VIEWS}


def same(made: Reconstruction, right: Reconstruction) -> bool:
    """Whether two results are of one request; a shared batch may round the network's output differently."""
    return (
        made.recipe == right.recipe
        and all(np.array_equal(getattr(made, p), getattr(right, p)) for p in ("input", "hidden", "target"))
        and all(
            np.allclose(getattr(made, p), getattr(right, p), atol=1e-5) for p in ("combined", "low", "high")
        )
    )


def mixed_up(count: int, expected: dict[PageView, Reconstruction]) -> int:
    """Two users make `count` simultaneous requests; return how many results differ from the uncached ones."""
    wrong: list[PageView] = []
    failed: list[BaseException] = []
    meet = threading.Barrier(2)

    def user(name: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(count // 2):
                view = VIEWS[rng.integers(len(VIEWS))]
                meet.wait(60)
                made, right = cached.reconstruction(view, name), expected[view]
                if not same(made, right):
                    wrong.append(view)
        except BaseException as problem:
            failed.append(problem)
            meet.abort()

    users = [threading.Thread(target=user, args=(name, seed)) for seed, name in enumerate(("ann", "bob"))]
    for each in users:
        each.start()
    for each in users:
        each.join(WAIT_S)
    assert not failed, failed
    return len(wrong)


def test_results_of_two_users_are_never_mixed_up(small_cache, expected):
    assert len({made.combined.tobytes() for made in expected.values()}) == len(VIEWS)
    assert mixed_up(200, expected) == 0


@pytest.mark.parametrize("omitted", a_few(["model", "tile", "mask"], 1))
def test_an_incomplete_cache_key_is_detected(small_cache, expected, monkeypatch, omitted):
    monkeypatch.setattr(
        cached,
        "reconstruction_key",
        lambda view: tuple(getattr(view, part) for part in ("model", "tile", "mask") if part != omitted),
    )
    assert mixed_up(40, expected) > 0


def lab_with_painter(view: dict[str, str]) -> None:
    """The path of the Mask Lab from the painter to the picture."""
    from dataclasses import replace as with_

    import streamlit as st

    from ui.mask_lab import lab
    from ui.pickers import page_view
    from ui.shell import state

    for name, value in view.items():
        if name not in st.query_params:
            st.query_params[name] = value
    shown = page_view.current_view()
    shown = with_(shown, mask=lab.paint(shown, lab.SIMILARITY["some"]))
    state.publish(shown)
    lab.reconstruction(shown)


def test_painted_masks_reach_the_network_exactly(monkeypatch):
    import earth_mae_components
    import torch
    from earth_mae_components.painter import PaintState

    from core.models.base import Reconstructor

    fed: list[torch.Tensor] = []
    plain = Reconstructor.reconstruct

    def spy(self: Any, images: torch.Tensor, res: torch.Tensor, keep: torch.Tensor | None = None) -> Any:
        assert keep is not None
        fed.append(keep.clone())
        return plain(self, images, res, keep)

    brush: list[np.ndarray] = []
    monkeypatch.setattr(Reconstructor, "reconstruct", spy)
    for function in (
        "painted",
        "mask_painter",
    ):
        monkeypatch.setattr(
            earth_mae_components, function, lambda *_, **__: PaintState(brush[-1], len(brush))
        )
    rng, grid = np.random.default_rng(4), SIDE // 8
    start = PageView(
        "scale_mae_tiny", "", TILES[0], Policy(), MaskSpec("cells", cells=(0,), painted_on=(grid, grid))
    )
    app = AppTest.from_function(lab_with_painter, default_timeout=WAIT_S, args=(start.to_params(),))
    for n in range(200):
        brush.append(
            rng.random((grid, grid)) < (1.0 - n if n < 2 else rng.uniform(0.05, 0.95))
        )  # all, none, and ratios in between
        app.run()
        assert not app.exception and not app.error, n
        visible = np.zeros(grid * grid, bool)
        visible[fed[-1][0].numpy()] = True
        assert fed[-1].shape == (1, visible.sum()), n
        assert np.array_equal(~visible.reshape(grid, grid), brush[-1]), n
        assert np.array_equal(np.flatnonzero(brush[-1]), mask_from_text(app.query_params["mask"]).cells), n


def test_painted_masks_round_trip_through_links():
    rng = np.random.default_rng(5)
    for rows in (7, 14, 16, 28):
        hidden = rng.random((rows, rows)) < 0.5
        view = replace(
            VIEWS[0],
            mask=MaskSpec("cells", cells=tuple(np.flatnonzero(hidden).tolist()), painted_on=(rows, rows)),
        )
        assert view_from_params(view.to_params(), VIEWS[0]).view.mask == view.mask


def upload_lab() -> None:
    """The upload tab of the tile dialog, followed by the reconstruction."""
    from ui.mask_lab import lab
    from ui.pickers import page_view, tile_picker
    from ui.shell import state

    shown = page_view.current_view()
    tile_picker._upload(shown)
    state.publish(shown)
    lab.reconstruction(shown)


def peak_growth_mb(before_kb: int) -> float:
    status = Path("/proc/self/status").read_text()
    return (int(status.split("VmHWM:")[1].split()[0]) - before_kb) / 1024


@pytest.mark.thorough
def test_a_huge_sparse_raster_takes_little_memory(tmp_path):
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        pytest.skip("the peak of a process's memory can be reset on Linux only")
    side = 60_000
    options = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 1,
        "dtype": "uint16",
        "crs": "EPSG:32631",
        "tiled": True,
    }
    options |= {
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "sparse_ok": True,
        "bigtiff": "YES",
    }
    path = tmp_path / "giant.tif"
    with rasterio.open(
        path, "w", transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_760_000), **options
    ) as out:
        ground = np.random.default_rng(0).integers(100, 900, (1, 512, 512), dtype=np.uint16)
        out.write(ground, window=rasterio.windows.Window(side // 2 - 256, side // 2 - 256, 512, 512))
    assert path.stat().st_size < 1_500_000
    app = AppTest.from_function(upload_lab, default_timeout=WAIT_S).run()  # loads the network
    reset.write_text("5")
    before_kb = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
    app.file_uploader[0].set_value(("giant.tif", path.read_bytes(), "image/tiff")).run()
    next(button for button in app.button if button.label == "Show this picture").click().run()
    assert not app.exception and not app.error
    assert app.query_params["tile"].startswith("upload/")
    assert peak_growth_mb(before_kb) < 200


@pytest.mark.thorough
def test_models_stay_within_the_memory_limit(monkeypatch):
    sizes = {name: loaded._bytes_of(cached.model(name)) for name in (*MODELS, "scale_mae_small")}
    models = ModelCache(sum(sizes.values()) - 1)
    monkeypatch.setattr(loaded, "model_cache", lambda: models)
    made = {}
    for name in (*MODELS, MODELS[0], "scale_mae_small", MODELS[1]):
        made[name] = cached.reconstruction(
            replace(VIEWS[0], model=name, mask=MaskSpec(seed=900 + len(made))), "ann"
        )
        assert sum(one.size_bytes for one in models.models()) <= models.limit_bytes
    assert [one.name for one in models.models()][-1] == MODELS[1]


def test_batches_shrink_when_the_device_runs_out_of_memory(monkeypatch):
    from core.engine import batch_sizes
    from core.engine import prediction as engine

    original, sizes, sentences = engine._run, [], []

    def small(model: Any, on: Any, images: Any, hidden: Any, res: Any) -> Any:
        sizes.append(len(hidden))
        if len(hidden) > 2:
            raise MemoryError
        return original(model, on, images, hidden, res)

    monkeypatch.setattr(engine, "_run", small)
    monkeypatch.setattr(batch_sizes, "_largest", {})
    monkeypatch.setattr(batch_sizes, "_seconds_per_image", {})
    monkeypatch.setitem(engine.BATCH, "cpu", 16)
    view = replace(VIEWS[0], mask=MaskSpec("random", seed=777))
    spread = list(cached.spreads(view, 16, "ann", sentences.append))[-1]
    assert spread.done == 16 and max(sizes) > 2
    assert sentences
    assert all(sentence.startswith("The device ran out of memory:") for sentence in sentences)


def test_scores_of_one_person_wait_for_the_pictures_of_others(small_cache, monkeypatch):
    from core.engine import prediction as engine
    from core.engine.turns import Turns

    queue, order, go, plain = Turns(), [], threading.Event(), engine._run

    def run_network(*args: Any) -> Any:
        order.append("picture of bob")
        return plain(*args)

    monkeypatch.setattr(cached, "_queue", lambda network: queue)
    monkeypatch.setattr("core.engine.turns.PATIENCE_S", 60.0)
    monkeypatch.setattr(engine, "_run", run_network)

    def hold() -> None:
        with queue.turn("somebody"):
            go.wait(60)

    def scores_of_ann() -> None:
        cached.after_pictures(VIEWS[0], "ann")
        order.append("scores of ann")

    def picture_of_bob() -> None:
        cached.reconstruction(VIEWS[1], "bob")

    threads = [threading.Thread(target=run) for run in (hold, scores_of_ann, picture_of_bob)]
    for count, thread in enumerate(threads, start=1):
        thread.start()
        while queue.waiting() < count:
            time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(60)
    assert order == ["picture of bob", "scores of ann"]


def test_fast_moves_run_only_the_first_and_last_and_report_the_queue(small_cache, monkeypatch):
    from core.engine import prediction as engine
    from core.engine.turns import Superseded, turns

    plain, ran, dropped, made, places = engine._run, [], [], {}, []
    go = threading.Event()

    def held(model: Any, on: Any, images: Any, hidden: Any, res: Any) -> Any:
        ran.append(hidden)
        assert go.wait(60)
        return plain(model, on, images, hidden, res)

    def move(n: int) -> None:
        try:
            made[n] = cached.reconstruction(
                replace(VIEWS[0], mask=MaskSpec("random", ratio=n / 20, seed=3)), "ann", places.append
            )
        except Superseded:
            dropped.append(n)

    monkeypatch.setattr(engine, "_run", held)
    cached.ground(TILES[0], SIDE)
    queue = turns("cpu")
    moves = [threading.Thread(target=move, args=(n,)) for n in range(10)]
    for n, each in enumerate(moves):
        each.start()
        while (
            len(ran) < min(n + 1, queue.at_once)
            or queue.waiting() + len(dropped) < n + 1
            or (n >= queue.at_once and not places)
        ):
            time.sleep(0.001)
    go.set()
    for each in moves:
        each.join(60)
    assert len(ran) == queue.at_once + 1
    assert sorted(made) == [*range(queue.at_once), 9]
    assert sorted(dropped) == list(range(queue.at_once, 9))
    assert 1 in places and set(places) <= {0, 1}
    assert made[9].recipe.mask == "random-45-s3"


def scores_of_a_view() -> None:
    """The Mask Lab's scores, overtaken by a newer request."""
    from core.engine.turns import Superseded
    from tests.ui.test_labs_under_load import VIEWS
    from ui.mask_lab import lab
    from ui.shell import cached

    def overtaken(*_: object) -> None:
        raise Superseded("A newer setting has replaced this one.")

    cached.verdict = overtaken
    lab.scores(VIEWS[0])


@pytest.mark.thorough
def test_scores_that_a_newer_setting_has_overtaken_show_no_error(small_cache, monkeypatch):
    monkeypatch.setattr(cached, "verdict", cached.verdict)  # the app replaces it
    app = AppTest.from_function(scores_of_a_view, default_timeout=60).run()
    assert not app.exception and not app.error
