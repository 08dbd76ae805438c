"""A cache on disk of results and embeddings, keyed by the hash of their recipe."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import program_folder, write_atomic
from .recipes import EvaluationRecipe
from .results import Result
from .sealed import seal, unseal

CACHE_VARIABLE = "EARTH_MAE_CACHE"
VECTOR_BYTES = 2 << 30  # of embeddings at most; the least recently used are deleted first


@dataclass(frozen=True)
class Cache:
    """A folder of results (`<key>.json`, their arrays in `<key>.npz`) and of embeddings (`vectors/`)."""

    folder: Path

    def result(self, recipe: EvaluationRecipe) -> Result | None:
        """Return the stored result of a recipe, or None if it is missing or damaged."""
        stored = self._read(self._result_path(recipe))
        return stored if stored is not None and stored.recipe == recipe else None

    def holds_damaged(self, recipe: EvaluationRecipe) -> bool:
        """Return whether the stored result of a recipe is damaged, or was written before checksums."""
        return self._result_path(recipe).is_file() and self.result(recipe) is None

    def results(self) -> tuple[Result, ...]:
        """Return every stored result, newest first; damaged files are skipped."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        return tuple(result for path in paths if (result := self._read(path)) is not None)

    def keep_result(self, result: Result, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        """Store a result and its arrays (predictions, scores per image).

        Raises OSError, e.g. on a full disk.
        """
        if arrays:
            write_atomic(self._arrays_path(result.recipe), _packed(arrays))
        write_atomic(self._result_path(result.recipe), json.dumps(seal(result.to_json()), indent=1).encode())

    def arrays(self, recipe: EvaluationRecipe) -> dict[str, NDArray[Any]] | None:
        """Return the arrays stored with a result, or None."""
        return _unpacked(self._arrays_path(recipe))

    def holds_arrays(self, recipe: EvaluationRecipe) -> bool:
        """Return whether arrays are stored with a result."""
        return self._arrays_path(recipe).is_file()

    def vectors(self, *parts: object) -> dict[str, NDArray[Any]] | None:
        """Return the embeddings stored under the parts of a key, or None."""
        path = self._vector_path(parts)
        arrays = _unpacked(path)
        if arrays is not None:
            os.utime(path)
        return arrays

    def keep_vectors(self, arrays: dict[str, NDArray[Any]], *parts: object) -> None:
        """Store embeddings, and delete the least recently used beyond VECTOR_BYTES in total.

        Write errors are ignored: embeddings can be recomputed.
        """
        with suppress(OSError):
            write_atomic(self._vector_path(parts), _packed(arrays))
        stored = sorted(
            (self.folder / "vectors").glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        total = 0
        for path in stored:
            total += path.stat().st_size
            if total > VECTOR_BYTES:
                path.unlink(missing_ok=True)

    def _read(self, path: Path) -> Result | None:
        try:
            return Result.from_json(unseal(json.loads(path.read_text())))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _result_path(self, recipe: EvaluationRecipe) -> Path:
        return self.folder / f"{recipe.key}.json"

    def _arrays_path(self, recipe: EvaluationRecipe) -> Path:
        return self.folder / f"{recipe.scored_as.key}.npz"

    def _vector_path(self, parts: tuple[object, ...]) -> Path:
        name = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:24]
        return self.folder / "vectors" / f"{name}.npz"


def default_cache() -> Cache:
    """Return the cache in $EARTH_MAE_CACHE, by default `cache/evaluation` in the program's folder."""
    stated = os.environ.get(CACHE_VARIABLE)
    return Cache(Path(stated).expanduser() if stated else program_folder("cache") / "evaluation")


def _packed(arrays: dict[str, NDArray[Any]]) -> bytes:
    content = io.BytesIO()
    # the stub takes the keywords for its own flags
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
    return content.getvalue()


def _unpacked(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
