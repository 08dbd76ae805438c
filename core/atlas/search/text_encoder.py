"""A user's own text encoder, which puts words among the vectors of a table that its image half made.

It is an ONNX file with a `tokenizer.json` beside it or one folder above. Both are read in a child process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files import file_sha256
from ...untrusted import Limits, onnx_file, text_file
from ...untrusted.held import HeldProcess
from ..errors import SearchError
from ..store.table import EmbeddingTable

TOKENIZER = "tokenizer.json"
MOST_TOKENIZER_BYTES = 64 * 2**20
MOST_BYTES = 8 * 2**30
MOST_CHARS = 300
IMAGE_SUFFIXES = (".onnx", ".pt2", ".safetensors", ".pth", ".pt", ".ckpt")
MOST_FILES_BESIDE = 16
_INTEGERS = {"tensor(int64)": "int64", "tensor(int32)": "int32"}
_KINDS = {"input_ids": "ids", "attention_mask": "mask", "token_type_ids": "types"}


@dataclass(frozen=True)
class TextSignature:
    """Names of the inputs "ids", "mask" and "types" that a text encoder takes, and of its output (b, d).

    `length` is the number of tokens that it takes, 0 if any.
    """

    inputs: tuple[tuple[str, str], ...]
    length: int
    output: str


class TextEncoder:
    """Words to vectors, by an ONNX file in a child process. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open an ONNX file. Raises SearchError for one that does not encode text, or has no tokenizer."""
        self.path = path.resolve()
        size = _size(self.path, MOST_BYTES)
        self.tokenizer = _tokenizer_of(self.path)
        size += sum(part.stat().st_size for part in onnx_file.parts_beside(self.path))
        limits = Limits(cpu_s=600.0, wall_s=300.0, memory_mb=2048 + 4 * size // 2**20, answer_mb=64)
        self._process = HeldProcess(path.name, SearchError, limits)
        described = self._process.call(onnx_file.described, str(self.path))
        self.signature = _signature(path.name, described)

    def vector(self, words: str) -> NDArray[np.float32]:
        """Return the vector (d,) of words. Raises SearchError for no words and for too many."""
        words = " ".join(words.split())
        if not 0 < len(words) <= MOST_CHARS:
            raise SearchError(f"Describe what you look for in 1 to {MOST_CHARS} characters.")
        inputs, length, output = self.signature.inputs, self.signature.length, self.signature.output
        found = np.asarray(
            self._process.call(
                text_file.vector, str(self.path), str(self.tokenizer), words, dict(inputs), length, output
            ),
            np.float32,
        ).reshape(-1)
        if not np.isfinite(found).all():
            raise SearchError(f"{self.path.name} gives values that are not finite: export it again.")
        return found

    def require_pair(self, table: EmbeddingTable) -> None:
        """Raise SearchError unless the network that made a table, by its hash, lies beside the encoder."""
        table.require_one_model()
        made = table.columns.select(["model", "checkpoint_sha256"]).slice(0, 1).to_pylist()[0]
        weights = made["checkpoint_sha256"]
        if weights is None:
            raise SearchError(
                f"{table.name} does not say which weights made it, so {self.path.name} may belong to another "
                "network: search by place, class or row, or embed again with its image half."
            )
        if weights not in self._beside():
            raise SearchError(
                f"{self.path.name} cannot describe {table.name}: that was made with {made['model']} "
                f"({weights[:12]}), and no file beside the text encoder is that network. Embed with its "
                "image half and keep both in one folder, or search by place, class or row."
            )

    def _beside(self) -> set[str]:
        """Return the hashes of the networks in the encoder's folder."""
        files = (file for file in sorted(self.path.parent.iterdir()) if file.suffix in IMAGE_SUFFIXES)
        others = [file for file in files if file != self.path and file.is_file()][:MOST_FILES_BESIDE]
        return {file_sha256(file, *onnx_file.parts_beside(file)) for file in others}


def _size(path: Path, most: int) -> int:
    try:
        size = path.stat().st_size
    except OSError:
        raise SearchError(f"There is no file {path.name}: check the path.") from None
    if size > most:
        raise SearchError(f"{path.name} is larger than {most / 2**20:,.0f} MB: take a smaller one.")
    return size


def _tokenizer_of(path: Path) -> Path:
    for folder in (path.parent, path.parent.parent):
        if (folder / TOKENIZER).is_file():
            _size(folder / TOKENIZER, MOST_TOKENIZER_BYTES)
            return folder / TOKENIZER
    raise SearchError(
        f"{path.name} has no {TOKENIZER} beside it: put the one there that was published with it."
    )


def _signature(name: str, described: dict[str, Any]) -> TextSignature:
    """Recognise inputs by the names that Hugging Face gives them; an only input is the tokens."""
    taken = described["inputs"]
    inputs: dict[str, str] = {}
    length = 0
    for each_name, kind, sizes in taken:
        role = "ids" if len(taken) == 1 else _KINDS.get(each_name, "")
        if not role or kind not in _INTEGERS or len(sizes) != 2 or sizes[0] not in (1, None):
            names = ", ".join(f"{each[0]:.30} {each[1]:.20}" for each in taken[:4])
            raise SearchError(
                f"{name} takes {names}, where input_ids (1, tokens) and perhaps attention_mask are expected: "
                "export the text encoder alone."
            )
        inputs |= {role: each_name, "dtype": _INTEGERS[kind]}
        length = max(length, sizes[1] or 0)
    outputs = [each[0] for each in described["outputs"] if "float" in each[1] and len(each[2]) == 2]
    if "ids" not in inputs or not outputs:
        raise SearchError(
            f"{name} does not turn tokens into one vector (1, d): export it with its projection."
        )
    output = "text_embeds" if "text_embeds" in outputs else outputs[0]
    return TextSignature(tuple(inputs.items()), length, output)
