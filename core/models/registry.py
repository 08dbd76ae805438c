"""Registry of model families, presets and their cards; `create` builds a network by name."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ExplorerError
from ..files import file_sha256

WEIGHTS_FOLDER = Path(__file__).with_name("weights")
KNN_METRICS = ("knn_eurosat", "knn_ucmerced", "knn_harvey")
"""Measured kNN accuracies that decide about the default embedding model."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ModelNameError(ExplorerError, KeyError):
    """A model name that is not registered, or a size that its config does not have."""

    def __str__(self) -> str:
        return str(self.args[0])


class WeightsError(ExplorerError):
    """A weights file that does not match its card or its network."""


@dataclass(frozen=True)
class WeightsCard:
    """How a weights file was trained: written by training, read from `weights/<preset>.json`."""

    file: str
    sha256: str
    licence: str
    data: tuple[str, ...]
    images_seen: int
    steps: int
    hours: float
    restarts: int
    command: str
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: str = ""


def weights_of_file(file: str, sha256: str, licence: str, notes: str = "") -> WeightsCard:
    """Describe somebody else's weights file, of whose training nothing is known."""
    return WeightsCard(file, sha256, licence, (), 0, 0, 0.0, 0, "", notes=notes)


@dataclass(frozen=True)
class ModelCard:
    """Description of a model for lists, captions and recipes.

    `sizes` are the fields of its config that differ from the defaults.
    """

    name: str
    family: str
    paper: str
    description: str
    sizes: dict[str, Any]
    reconstructs: bool
    two_bands: bool
    gsd_aware: bool
    input_px: int
    patch_px: int
    embed_dim: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    default_policy: str = "native_gsd"
    res_range: tuple[float, float] | None = None
    pooling: str = "cls"
    licence: str = "Apache-2.0"
    weights: WeightsCard | None = None
    notices: tuple[str, ...] = ()

    @property
    def trained(self) -> bool:
        return self.weights is not None

    @property
    def title(self) -> str:
        """The name that people read, such as "Scale-MAE Tiny"; `name` where it is not a preset."""
        family = _families.get(self.family)
        if family is None or self.name not in family.presets:
            return self.name
        return f"{family.title} {self.name.removeprefix(family.name + '_').capitalize()}"


@dataclass(frozen=True)
class Family:
    """One architecture: `network` is built from a `config` dataclass whose fields are its sizes.

    `title` is its name as papers write it, and `presets` name some of its sizes.

    `objective` is called with the network and named options, and trains it; None for networks that are only
    loaded.
    """

    name: str
    title: str
    network: Callable[[Any], Any]
    config: type[Any]
    paper: str
    description: str
    reconstructs: bool
    two_bands: bool
    gsd_aware: bool
    presets: dict[str, dict[str, Any]]
    objective: Callable[..., Any] | None = None
    pooling: str = "cls"

    @property
    def defaults(self) -> dict[str, Any]:
        """The sizes that `create` accepts, with their defaults."""
        return {size.name: size.default for size in fields(self.config)}

    def build(self, sizes: dict[str, Any]) -> Any:
        """Build the network. Raises ModelInputError where sizes contradict each other."""
        return self.network(self.config(**sizes))


_families: dict[str, Family] = {}


def register(family: Family) -> None:
    """Register a family; each model file calls it once at import."""
    _families[family.name] = family


@lru_cache(maxsize=1)
def families() -> dict[str, Family]:
    """All families, found by importing the model files of this package."""
    for module in pkgutil.iter_modules(sys.modules[__name__.rpartition(".")[0]].__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return dict(sorted(_families.items()))


def cards() -> dict[str, ModelCard]:
    """Cards of all presets by name, with shipped weights where there are any."""
    return {
        name: _card(family, name, sizes)
        for family in families().values()
        for name, sizes in family.presets.items()
    }


def create(name: str, *, trained: bool = True, **sizes: Any) -> Any:
    """Build a network by family (`scale_mae`, every size free) or preset (`scale_mae_tiny`), in eval mode.

    A preset with unchanged sizes gets its shipped weights unless `trained` is False. Everything else is
    initialised at random as in the paper, from the global torch seed. Raises ModelNameError, WeightsError,
    ModelInputError.
    """
    family, preset = find_family(name)
    unknown = sorted(set(sizes) - set(family.defaults))
    if unknown:
        raise ModelNameError(
            f"{family.name} has no size called {', '.join(unknown)}. Its sizes are: "
            f"{', '.join(sorted(family.defaults))}."
        )
    card = (
        card_for(family, name, {**preset, **sizes}) if sizes or not trained else _card(family, name, preset)
    )
    model = family.build(card.sizes)
    model.card = card
    if card.weights is not None:
        load_shipped(model, card)
    return model.eval()


def load_shipped(model: Any, card: ModelCard) -> None:
    """Load the weights file that a card names into `model`, after checking its hash. Raises WeightsError."""
    from safetensors.torch import load_file

    assert card.weights is not None
    path = WEIGHTS_FOLDER / card.weights.file
    if not path.is_file():
        raise WeightsError(
            f"The weights file {path.name} of {card.name} is missing: "
            "restore it from the repository, or remove its card."
        )
    found = file_sha256(path)
    if found != card.weights.sha256:
        raise WeightsError(
            f"{path.name} is not the file its card describes (sha256 {found[:12]}..., expected "
            f"{card.weights.sha256[:12]}...): "
            "restore it from the repository."
        )
    state = {key: tensor.float() for key, tensor in load_file(path).items()}
    expected = {key: tensor.shape for key, tensor in model.state_dict().items()}
    misfits = [key for key, tensor in state.items() if tensor.shape != expected.get(key)]
    missing = [key for key in expected if key not in state and not key.endswith("pos_embed")]
    if missing or misfits:
        raise WeightsError(
            f"{path.name} does not match {card.name}: "
            f"missing {missing[:3]}, unexpected or of another shape {misfits[:3]}. "
            "Restore it from the repository."
        )
    model.load_state_dict(state, strict=False)


def default_reconstructor() -> str:
    """Name of the preset shown first.

    It is the trained reconstructor with the best measured PSNR, those with two bands first; else
    `scale_mae_tiny`.
    """
    trained = [card for card in cards().values() if card.weights and card.reconstructs]
    best = max(
        trained,
        key=lambda card: (card.two_bands, card.weights.metrics.get("psnr_75", 0.0) if card.weights else 0.0),
        default=None,
    )
    return best.name if best else "scale_mae_tiny"


def default_embedder() -> str:
    """Name of the default embedding model: the trained one with the best mean of its measured kNN accuracies,
    else the default reconstructor."""
    best = max(cards().values(), key=_mean_knn)
    return best.name if _mean_knn(best) else default_reconstructor()


def _mean_knn(card: ModelCard) -> float:
    measured = card.weights.metrics if card.weights else {}
    scores = [measured[name] for name in KNN_METRICS if name in measured]
    return sum(scores) / len(scores) if scores else 0.0


def find_family(name: str) -> tuple[Family, dict[str, Any]]:
    for family in families().values():
        if name == family.name:
            return family, {}
        if name in family.presets:
            return family, family.presets[name]
    known = [name for family in families().values() for name in (family.name, *family.presets)]
    raise ModelNameError(f"There is no model called {name!r}. Choose one of: {', '.join(known)}.")


def card_for(family: Family, name: str, sizes: dict[str, Any]) -> ModelCard:
    """The card of an untrained network of these sizes."""
    full = {**family.defaults, **sizes}
    return ModelCard(
        name=name,
        family=family.name,
        paper=family.paper,
        description=family.description,
        sizes=dict(sizes),
        reconstructs=family.reconstructs,
        two_bands=family.two_bands,
        gsd_aware=full.get("gsd_aware", family.gsd_aware) and not full.get("absolute_scale", False),
        input_px=full["img_size"],
        patch_px=full["patch_size"],
        embed_dim=full["embed_dim"],
        pooling="vector" if full.get("vector_dim") else family.pooling,
    )


def _card(family: Family, name: str, sizes: dict[str, Any]) -> ModelCard:
    written = WEIGHTS_FOLDER / f"{name}.json"
    return read_card(written) if written.is_file() else card_for(family, name, sizes)


def read_card(written: Path) -> ModelCard:
    """Read a card written by `write_card`; the model is named after the file.

    Raises WeightsError, ModelNameError.
    """
    try:
        values = json.loads(written.read_text())
        family = find_family(values.pop("family", written.stem))[0]
        card = card_for(family, written.stem, values.pop("sizes"))
        fields: dict[str, Any] = {**values.pop("weights"), "data": tuple(values.pop("data"))}
        weights = WeightsCard(**fields)
        tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return replace(card, weights=weights, **tuples)
    except ModelNameError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise WeightsError(
            f"The card {written.name} cannot be read ({problem}): "
            "restore it from the repository or remove it."
        ) from problem


def write_card(card: ModelCard, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Write a card as `<name>.json` into the folder of its weights."""
    from ..files import write_atomic

    assert card.weights is not None
    weights = asdict(card.weights)
    values = {
        "family": card.family,
        "mean": card.mean,
        "std": card.std,
        "sizes": card.sizes,
        "default_policy": card.default_policy,
        "res_range": card.res_range,
        "pooling": card.pooling,
        "input_px": card.input_px,
        "data": weights.pop("data"),
        "weights": weights,
    }
    return write_atomic(folder / f"{card.name}.json", json.dumps(values, indent=1).encode() + b"\n")
