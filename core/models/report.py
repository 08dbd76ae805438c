"""What became of a file of weights when it was loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LoadReport:
    """How a weights file was loaded.

    `variant` of the file, tensors `missing` (computed instead) and `left_over` (unused), entries `ignored`
    (optimiser and the like), sizes `assumed`, `notices` for the user, and the `training` settings in its
    arguments.
    """

    file: str
    variant: str
    sha256: str
    tensors: int
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    ignored: tuple[str, ...]
    assumed: tuple[str, ...]
    notices: tuple[str, ...]
    licence: str
    training: Mapping[str, Any]

    def sentences(self) -> tuple[str, ...]:
        """The report for a person, a sentence each."""
        sentences = [f"{self.file} is {self.variant}: {self.tensors} tensors, each in its place."]
        if self.missing:
            sentences.append(f"Not in the file and computed instead: {', '.join(self.missing)}.")
        if self.left_over:
            sentences.append(f"In the file and left out: {few(self.left_over)}.")
        if self.ignored:
            sentences.append(f"Ignored beside the weights: {', '.join(self.ignored)}.")
        sentences += [f"Assumed: {assumed}." for assumed in self.assumed]
        return (*sentences, *self.notices)


def few(keys: tuple[str, ...] | list[str]) -> str:
    """The first three keys, and how many more there are."""
    return ", ".join(key[:60] for key in keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
