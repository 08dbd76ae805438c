"""The spec of an embedding run: what to embed and how, as plain values; also read from a JSON file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...atlas.schema import Precision
from ...errors import ExplorerError
from ...net.object_store import is_address
from ...spec_values import read_values, spec_from_values


class EmbeddingError(ExplorerError):
    """An embedding run that cannot start, resume or finish as requested."""


MOST_GRID = 128
"""Largest number of patches along the side of a tile.

The cost of attention grows with the fourth power of it.
"""


def require_tile(tile_px: int, patch_px: int) -> int:
    """Return the side of a tile; raise EmbeddingError unless it is 1 to MOST_GRID whole patches."""
    if tile_px % patch_px or not 1 <= tile_px // patch_px <= MOST_GRID:
        raise EmbeddingError(
            f"A tile of {tile_px:,} px cannot be cut into patches of {patch_px} px: "
            f"choose a multiple of {patch_px}, up to {MOST_GRID * patch_px:,} px."
        )
    return tile_px


@dataclass(frozen=True)
class EmbeddingSpec:
    """What to embed and how. All fields except `batch`, `shard_tiles` and `online` decide what is written.

    `sources` are paths, addresses, or names from the catalogue; `only` restricts them to some pictures
    (empty: all). `gsd_m` lists the GSDs to feed (empty: the GSD of each picture). None takes the model card's
    value for `tile_px`, `policy` and `pooling`, the tile for `stride_px` (half of it for patch rasters), and
    a size chosen for the device for `batch`. `losses` adds a reconstruction pass with a random mask
    (`mask_ratio`, `mask_seed`). Tiles with less than the fraction `min_valid` of valid pixels are left out.
    `stated_gsd_m` is the pixel size of pictures that do not state one. `most` limits the number of tiles,
    which are then spread evenly over the whole plan.
    """

    sources: tuple[str, ...]
    out: str
    model: str
    gsd_m: tuple[float, ...] = ()
    tile_px: int | None = None
    stride_px: int | None = None
    policy: str | None = None
    pooling: str | None = None
    data_type: Precision = "float32"
    losses: bool = False
    mask_ratio: float = 0.75
    mask_seed: int = 0
    min_valid: float = 0.5
    stated_gsd_m: float | None = None
    batch: int | None = None
    shard_tiles: int = 4096
    most: int | None = None
    online: bool = False
    only: tuple[str, ...] = ()


def folder_of(out: str | Path, model: str) -> Path:
    """Return the folder for one of several models of a run: a subfolder of `out` named after it."""
    return Path(out) / Path(model).stem


def out_of(out: str, model: str) -> str:
    """Return `out` for one of several models of a run, which may be an address in object storage."""
    return f"{out.rstrip('/')}/{Path(model).stem}" if is_address(out) else str(folder_of(out, model))


@dataclass(frozen=True)
class EmbeddingRequest:
    """A spec and the models that share its run."""

    spec: EmbeddingSpec
    models: tuple[str, ...]


def read_request(file: Path) -> EmbeddingRequest:
    """Read a JSON object with `spec` (the fields of EmbeddingSpec) and, optionally, `models`.

    Other keys are ignored. Raises EmbeddingError, which names the file and the field, for anything invalid.
    """
    values = read_values(file, EmbeddingError)
    if not isinstance(values.get("spec"), dict):
        raise EmbeddingError(f'{file.name} must hold a JSON object with the key "spec".')
    try:
        spec = spec_from_values(EmbeddingSpec, values["spec"], EmbeddingError)
    except EmbeddingError as error:
        raise EmbeddingError(f"{file.name}: {error}") from error
    models = values.get("models") or [spec.model]
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        raise EmbeddingError(f'{file.name}: "models" must be a list of names.')
    return EmbeddingRequest(spec, tuple(models))
