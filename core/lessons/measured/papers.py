"""Lessons on the ideas of TinyMIM and SDMAE, with the networks that this program ships."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...engine.inputs import res_of
from ...engine.tokens import patch_vectors
from ...evaluation.protocols.knn import most_similar
from ...units import metres
from ...viz.chart import Chart, Series
from ..bench import Bench, Vectors
from ..drawing import image_panel
from ..spec import Answer, Finding
from .vectors import knn_bars, knn_right

# --- 13. TinyMIM: relations, not features ---

TEACHER, STUDENT, PLAIN = "scale_mae_tiny", "tinymim_tiny", "mae_tiny"
TOP_PAIRS = 0.1
TILES = {
    "Salt ponds, Utah": "ponds",
    "Bahama banks": "banks",
    "The Alps": "alps",
    "Evaporation basins": "fields",
}


def show_images(bench: Bench) -> Finding:
    """The images whose patches are compared."""
    own = bench.other(TEACHER)
    return Finding(
        pictures=tuple(
            image_panel(own.fed(name), name, title, f"{metres(own.gsd_m(name))} per pixel")
            for title, name in TILES.items()
        )
    )


def relations(vectors: Vectors) -> NDArray[np.float64]:
    """Cosine between every two patches of an image: (g, g, d) to the g*g * (g*g - 1) / 2 pairs."""
    flat = vectors.reshape(-1, vectors.shape[-1]).astype(np.float64)
    flat -= flat.mean(axis=0)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return (flat @ flat.T)[np.triu_indices(len(flat), 1)]


def shared_pairs(a: NDArray[np.float64], b: NDArray[np.float64], top: float = TOP_PAIRS) -> float:
    """Which share of the most similar pairs of `a` are among the most similar pairs of `b`."""
    count = round(len(a) * top)
    return len(np.intersect1d(np.argsort(-a)[:count], np.argsort(-b)[:count])) / count


def try_relations(bench: Bench, tile: str = "Salt ponds, Utah") -> Finding:
    """Which share of the teacher's closest pairs of patches the student shares, and a plain MAE, on one
    image."""
    own = bench.other(TEACHER)
    image, gsd_m = own.fed(TILES[tile])[None], own.gsd_m(TILES[tile])
    found = {}
    for name in (TEACHER, STUDENT, PLAIN):
        at = bench.other(name)
        res = res_of(at.card, at.policy, gsd_m, image.shape[-1], None)
        found[name] = relations(patch_vectors(at.network, image, np.array([res], np.float32))[0])
    shared = {name: 100 * shared_pairs(found[TEACHER], found[name]) for name in (STUDENT, PLAIN)}
    chart = Chart(
        "network",
        "teacher's closest pairs shared, %",
        (Series("shared", tuple(shared.values()), tuple(shared)),),
        "Share of the teacher's closest pairs of patches that the student and a plain MAE share.",
        kind="bars",
    )
    return Finding(
        {f"{name} shares % of the closest pairs": value for name, value in shared.items()}, chart=chart
    )


def measure_relations(bench: Bench) -> Finding:
    """kNN accuracy of the student, of its kind of teacher, and of a plain MAE, with their sizes."""
    names = (STUDENT, PLAIN, TEACHER)
    numbers = {f"kNN {name}": float(knn_right(bench, name).mean()) for name in names}
    for name in names:
        numbers[f"width {name}"] = float(bench.other(name).card.embed_dim)
        numbers[f"depth {name}"] = float(len(bench.other(name).network.backbone.blocks))
    chart = knn_bars(numbers, names, "kNN accuracy of student, plain MAE and teacher.")
    return Finding(numbers, chart=chart)


def conclude_relations(found: Finding) -> Answer:
    """The network with the higher kNN accuracy: the student or the plain MAE."""
    n = found.numbers
    value = STUDENT if n[f"kNN {STUDENT}"] > n[f"kNN {PLAIN}"] else PLAIN
    says = (
        f"kNN accuracy: {STUDENT} {n[f'kNN {STUDENT}']:.0%} with {n[f'depth {STUDENT}']:.0f} blocks, "
        f"{PLAIN} {n[f'kNN {PLAIN}']:.0%} with {n[f'depth {PLAIN}']:.0f}. {TEACHER}, a network like the "
        "student's "
        f"teacher, reaches {n[f'kNN {TEACHER}']:.0%} with vectors of {n[f'width {TEACHER}']:.0f} numbers "
        "instead of "
        f"{n[f'width {STUDENT}']:.0f}."
    )
    return Answer(value, says, value == STUDENT)


# --- 14. SDMAE: location and contrast beside reconstruction ---

SMALL = "sdmae_tiny"
TASKS = ("recognise the same place", "read the position of a patch")


def same_place(bench: Bench, model: str) -> float:
    """The share of moved and turned crops whose nearest neighbour is the same place."""
    here, moved = bench.places()
    own = bench.other(model)
    _, rows = most_similar(
        own.vectors("places", here.images, here.gsd_m),
        own.vectors("moved places", moved.images, moved.gsd_m),
        1,
    )
    return float((rows[:, 0] == moved.labels).mean())


def knows_place(bench: Bench, model: str) -> float:
    """How well a linear map reads a patch's row and column from its vector: R² on images left out."""
    here, _ = bench.places()
    network = bench.other(model).network
    images, res = here.images[:24], np.full(24, 1.0, np.float32)
    vectors = patch_vectors(network, images, res, batch=8)
    grid = vectors.shape[1]
    rows, cols = np.mgrid[:grid, :grid]
    where = np.stack([rows, cols], axis=-1).astype(np.float64)
    where = (where - where.mean()) / where.std()
    x = vectors.astype(np.float64).reshape(len(images), grid * grid, -1)
    y = np.broadcast_to(where.reshape(grid * grid, 2), (len(images), grid * grid, 2))
    half = len(images) // 2
    seen, left_out = (part.reshape(-1, x.shape[-1]) for part in (x[:half], x[half:]))
    centre = seen.mean(axis=0)
    seen, left_out = seen - centre, left_out - centre
    strength = 0.01 * np.trace(seen.T @ seen) / seen.shape[1]
    weight = np.linalg.solve(
        seen.T @ seen + strength * np.eye(seen.shape[1]), seen.T @ y[:half].reshape(-1, 2)
    )
    rest = left_out @ weight - y[half:].reshape(-1, 2)
    return float(1 - (rest**2).mean())


def show_views(bench: Bench) -> Finding:
    """One place in two views."""
    here, moved = bench.places()
    at = int(here.images.std(axis=(2, 3)).sum(axis=1).argmax())  # one with something to see
    return Finding(
        pictures=(
            image_panel(here.images[at], "here", "One view of a place", f"{metres(here.gsd_m)} per pixel"),
            image_panel(moved.images[at], "moved", "Another view", "moved by 16 px, turned by 90°"),
        )
    )


def try_small(bench: Bench, task: str = TASKS[0]) -> Finding:
    """Both networks on one task."""
    measure = same_place if task == TASKS[0] else knows_place
    values = {name: measure(bench, name) for name in (PLAIN, SMALL)}
    return Finding({f"{name}, {task}": value for name, value in values.items()})


def measure_small(bench: Bench) -> Finding:
    """Two networks on the tasks that SDMAE adds: recognising a place, and knowing where a patch lies."""
    numbers = {f"same place {name}": same_place(bench, name) for name in (PLAIN, SMALL)}
    return Finding(numbers | {f"position {name}": knows_place(bench, name) for name in (PLAIN, SMALL)})


def conclude_small(found: Finding) -> Answer:
    """The network that recognises places better."""
    n = found.numbers
    same = {name: n[f"same place {name}"] for name in (PLAIN, SMALL)}
    value = max(same, key=lambda name: same[name])
    says = (
        f"The same place is found again for {same[PLAIN]:.0%} of the crops by {PLAIN} and {same[SMALL]:.0%} "
        f"by {SMALL}. A linear map reads the position of a patch with R² "
        f"{n[f'position {PLAIN}']:.2f} from {PLAIN} and {n[f'position {SMALL}']:.2f} from {SMALL}."
    )
    return Answer(value, says, same[SMALL] > same[PLAIN])
