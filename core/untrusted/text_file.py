"""Turn words into a vector with an ONNX text encoder and its tokenizer. This runs in a child process.

`tokenizers` reads the `tokenizer.json` that Hugging Face's libraries write; it runs no code of the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import ExplorerError, in_brief
from . import onnx_file

NEEDED = "Text encoders need the package tokenizers: pip install 'earth-mae-explorer[onnx]'."

_open: dict[str, Any] = {}
"""The tokenizer that this process has open."""


def vector(path: str, tokenizer: str, words: str, inputs: dict[str, str], length: int, output: str) -> Any:
    """Return the named output, (1, d), of an ONNX file for words.

    `inputs` name the file's input of "ids", and where it has them of "mask" and "types"; their type is
    "int64" unless "dtype" states another. `length` is the number of tokens that the file takes, 0 if any.
    Raises ExplorerError for a damaged tokenizer, too many words, and a file that cannot run on them.
    """
    import numpy as np

    encoded, padding = _encoded(tokenizer, words)
    count = len(encoded["ids"])
    if length and count > length:
        raise ExplorerError(
            f"These words make {count:,} tokens, and {Path(path).name} reads {length:,}: use fewer words."
        )
    after = max(length, count) - count
    padded = {
        "ids": [*encoded["ids"], *[padding] * after],
        "mask": [*encoded["mask"], *[0] * after],
        "types": [0] * (count + after),
    }
    arrays = {
        name: np.array([padded[kind]], inputs.get("dtype", "int64"))
        for kind, name in inputs.items()
        if kind in padded
    }
    try:
        return onnx_file.run(path, os.cpu_count() or 1, arrays, output)
    except (ExplorerError, MemoryError):
        raise
    except Exception as problem:
        raise ExplorerError(
            f"{Path(path).name} cannot run on the {count:,} tokens of these words "
            f"({in_brief(problem, 160)}): use fewer words, or check that the tokenizer belongs to it."
        ) from problem


def _encoded(path: str, words: str) -> tuple[dict[str, list[int]], int]:
    """Return the tokens of words with their mask, and the token that pads them."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ExplorerError(NEEDED) from None
    if _open.get("path") != path:
        try:
            tokenizer = Tokenizer.from_file(path)
            tokenizer.no_truncation()
        except MemoryError:
            raise
        except Exception as problem:
            raise ExplorerError(
                f"{Path(path).name} is not a tokenizer that can be read ({in_brief(problem, 120)}): "
                "take the tokenizer.json that was published with the text encoder."
            ) from problem
        _open.update(path=path, tokenizer=tokenizer)
    tokenizer = _open["tokenizer"]
    found = tokenizer.encode(words)
    padding = (tokenizer.padding or {}).get("pad_id", 0)
    return {"ids": list(found.ids), "mask": list(found.attention_mask)}, int(padding)
