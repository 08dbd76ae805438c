"""A model's page for the Hugging Face hub: safetensors, config.json, a model card and a STAC item.

The card's front matter is the hub's (https://huggingface.co/docs/hub/model-cards), the item follows the STAC
Machine Learning Model extension 1.4.0.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from ..files import write_atomic
from .base import Encoder
from .checkpoints.stated import ENTRY, metadata
from .foreign import ForeignEncoder
from .registry import ModelCard, WeightsError

LIBRARY = "earth-mae-explorer"
MLM_SCHEMA = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
FILES = ("model.safetensors", "config.json", "README.md", "stac-item.json")
HUB_LICENCES = {
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
}
"""The hub's identifiers, by the start of a licence as cards state it."""


def write_model_page(model: Encoder, folder: Path, name: str, *, licence: str = "") -> Path:
    """Write the files of a model's page into a folder; `name` is OWNER/NAME, `licence` overrides the card's.

    Raises WeightsError for networks without weights or licence, and for those of other libraries.
    """
    from safetensors.torch import save

    card = model.card
    if isinstance(model, ForeignEncoder):
        raise WeightsError(f"{card.name} is another library's network: publish it as its authors do.")
    if card.weights is None:
        raise WeightsError(f"{card.name} has random weights: train it first, or name a weights file.")
    terms = licence or card.weights.licence
    if not terms or terms.startswith("not stated"):
        raise WeightsError(
            f"{card.name} states no licence: pass --licence, for example --licence apache-2.0."
        )
    state = {key: _shortest(t) for key, t in model.state_dict().items() if not key.endswith("pos_embed")}
    config = {
        "library_name": LIBRARY,
        "architecture": card.family,
        "image_size": card.input_px,
        "patch_size": card.patch_px,
        "hidden_size": card.embed_dim,
        "image_mean": card.mean,
        "image_std": card.std,
        ENTRY: json.loads(metadata(card)[ENTRY]),
    }
    write_atomic(folder / "model.safetensors", save(state, {"format": "pt", **metadata(card)}))
    write_atomic(folder / "config.json", _json(config))
    write_atomic(folder / "README.md", _readme(card, name, terms).encode())
    write_atomic(folder / "stac-item.json", _json(stac_item(card, name, terms)))
    return folder


def _shortest(tensor: Tensor) -> Tensor:
    """A tensor in half precision where that loses nothing, as in the weights that come with the program."""
    half = tensor.detach().cpu().half()
    same = bool((half.to(tensor.dtype) == tensor.detach().cpu()).all())
    return (half if same and tensor.is_floating_point() else tensor.detach().cpu()).contiguous()


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"


def _hub_licence(terms: str) -> str:
    start = terms.lower().split(" ")[0].rstrip(",;:")
    return HUB_LICENCES.get(start, "other")


def _readme(card: ModelCard, name: str, terms: str) -> str:
    assert card.weights is not None
    weights, hub_licence = card.weights, _hub_licence(terms)
    front = [
        "---",
        f"license: {hub_licence}",
        *([f"license_name: {json.dumps(terms[:100])}"] if hub_licence == "other" else []),
        f"library_name: {LIBRARY}",
        "pipeline_tag: image-feature-extraction",
        "tags:",
        *(f"- {tag}" for tag in ("remote-sensing", "earth-observation", "masked-autoencoder", card.family)),
        "---",
    ]
    gives = "reconstructs hidden patches and embeds images" if card.reconstructs else "embeds images"
    rows = [
        f"| {key} | {value:.4g} |" for key, value in weights.metrics.items() if isinstance(value, int | float)
    ]
    return "\n".join(
        [
            *front,
            "",
            f"# {name.partition('/')[2]}",
            "",
            f"{card.description} It {gives}. Paper: {card.paper}.",
            "",
            "```python",
            "from earth_mae import load",
            "",
            f'model = load("hf:{name}")  # with EARTH_MAE_ONLINE=1',
            "```",
            "",
            "## Input",
            "",
            f"Images of {card.input_px} px in red, green and blue, in patches of {card.patch_px} px; mean "
            f"{card.mean}, "
            f"standard deviation {card.std}. "
            + (
                "Its positions depend on the ground sample distance."
                if card.gsd_aware
                else "Its positions are static."
            ),
            "",
            "## Training",
            "",
            f"Data: {', '.join(weights.data) or 'not stated'}. {weights.images_seen:,} images in "
            f"{weights.steps:,} steps. "
            f"{weights.notes}",
            "",
            *(["## Measured", "", "| metric | value |", "|---|---|", *rows, ""] if rows else []),
            "## Licence",
            "",
            f"{terms}.",
            "",
        ]
    )


def stac_item(card: ModelCard, name: str, terms: str) -> dict[str, Any]:
    """The STAC item of a model: what it takes and gives, in the words of the Machine Learning Model
    extension."""
    tasks = ["similarity-search", *(["generative"] if card.reconstructs else [])]
    scaling = [
        {"type": "z-score", "mean": mean, "stddev": std}
        for mean, std in zip(card.mean, card.std, strict=True)
    ]
    picture = {
        "name": "image",
        "bands": ["red", "green", "blue"],
        "input": {
            "shape": [-1, 3, card.input_px, card.input_px],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": scaling,
        "resize_type": "interpolate-area",
    }
    vector = {
        "name": "embedding",
        "tasks": tasks[:1],
        "result": {
            "shape": [-1, card.embed_dim],
            "dim_order": ["batch", "embedding"],
            "data_type": "float32",
        },
    }
    west, south, east, north = -180.0, -90.0, 180.0, 90.0
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM_SCHEMA],
        "id": name.replace("/", "-"),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "description": card.description,
            "license": _hub_licence(terms),
            "mlm:name": card.name,
            "mlm:architecture": card.family,
            "mlm:framework": "pytorch",
            "mlm:tasks": tasks,
            "mlm:pretrained": True,
            "mlm:pretrained_source": ", ".join(card.weights.data) if card.weights else "",
            "mlm:input": [picture],
            "mlm:output": [vector],
        },
        "assets": {
            "model": {
                "href": "model.safetensors",
                "type": "application/octet-stream",
                "title": f"Weights of {card.name}",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "safetensors.torch.save_file",
            }
        },
        "links": [],
    }
