"""An ONNX text encoder with its image half and tokenizer, built here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COLOURS = ("red", "green", "blue")
VOCABULARY = {"<pad>": 0, "red": 1, "green": 2, "blue": 3}
TOKENIZER = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
    "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "<pad>"},
}  # fmt: skip


def text_half(onnx: Any, length: int | str = "tokens") -> Any:
    """The sum of a one-hot colour for each word: (1, 3)."""
    helper, proto = onnx.helper, onnx.TensorProto
    colours = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["colours", "input_ids"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["text_embeds"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "text",
        [helper.make_tensor_value_info("input_ids", proto.INT64, (1, length))],
        [helper.make_tensor_value_info("text_embeds", proto.FLOAT, (1, 3))],
        [onnx.numpy_helper.from_array(*each) for each in ((colours, "colours"), (np.array([1]), "axis"))],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def image_half(onnx: Any) -> Any:
    """The mean colour of a picture: (b, 3)."""
    helper, proto = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["image_embeds"]),
    ]
    graph = helper.make_graph(
        nodes, "image",
        [helper.make_tensor_value_info("images", proto.FLOAT, ("b", 3, 32, 32))],
        [helper.make_tensor_value_info("image_embeds", proto.FLOAT, ("b", 3))],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def encoder_pair(tmp_path: Path) -> Path:
    """A folder with both halves and the tokenizer."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("tokenizers", reason="needs the extra onnx")
    folder = tmp_path / "pair"
    folder.mkdir()
    (folder / "text_model.onnx").write_bytes(text_half(onnx).SerializeToString())
    (folder / "fixed.onnx").write_bytes(text_half(onnx, 4).SerializeToString())
    (folder / "vision_model.onnx").write_bytes(image_half(onnx).SerializeToString())
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return folder
