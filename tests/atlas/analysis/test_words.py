"""Words as queries: places, classes of labels, and a text encoder with its image half, built here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.atlas import EmbeddingTable, SearchError, make_rows
from core.atlas.analysis.words import matching_classes, query_of_class, query_of_place, query_of_text
from core.atlas.labelling.reading import read_labels
from core.atlas.labelling.sampling import class_marks, sample
from core.atlas.search.neighbors import nearest
from core.atlas.search.text_encoder import TextEncoder
from core.files import file_sha256
from core.geo.gazetteer import NamedPlace
from tests.atlas.labelling.conftest import NAMES, grid, label_files, truth  # noqa: F401 (fixtures)

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
def pair(tmp_path: Path) -> Path:
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


def coloured(weights: str | None) -> EmbeddingTable:
    """Rows that are red, green and blue."""
    made = {"model": ["vision_model"] * 3, "checkpoint_sha256": [weights] * 3}
    return EmbeddingTable.from_rows(make_rows(np.eye(3, dtype=np.float32), made), "colours")


def test_words_find_what_the_image_half_saw(pair: Path) -> None:
    table = coloured(file_sha256(pair / "vision_model.onnx"))
    for name in ("text_model.onnx", "fixed.onnx"):
        encoder = TextEncoder(pair / name)
        found = [nearest(table, query_of_text(table, word, encoder).vector, 1).rows[0] for word in COLOURS]
        assert found == [0, 1, 2], name
        np.testing.assert_array_equal(encoder.vector("red  blue"), [1, 0, 1])


def test_a_text_encoder_of_another_network_is_refused(pair: Path) -> None:
    encoder = TextEncoder(pair / "text_model.onnx")
    with pytest.raises(SearchError, match=r"made with vision_model \(aaaaaaaaaaaa\).*image half"):
        query_of_text(coloured("a" * 64), "red", encoder)
    with pytest.raises(SearchError, match="does not say which weights made it"):
        query_of_text(coloured(None), "red", encoder)
    right = coloured(file_sha256(pair / "vision_model.onnx"))
    (pair / "vision_model.onnx").rename(pair.parent / "vision_model.onnx")
    with pytest.raises(SearchError, match="no file beside the text encoder"):
        query_of_text(right, "red", encoder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: (p / "tokenizer.json").unlink(), "no tokenizer.json beside it"),
        (lambda p: (p / "tokenizer.json").write_text("{}"), "not a tokenizer that can be read"),
        (lambda p: (p / "text_model.onnx").write_bytes(b"odd"), "truncated or damaged"),
        (lambda p: (p / "text_model.onnx").unlink(), "There is no file text_model.onnx"),
        (lambda p: (p / "vision_model.onnx").replace(p / "text_model.onnx"), "export the text encoder alone"),
    ],
)
def test_bad_text_encoders_get_a_sentence(pair: Path, spoil: Any, said: str) -> None:
    spoil(pair)
    with pytest.raises(SearchError, match=said):
        TextEncoder(pair / "text_model.onnx").vector("red")


def test_words_that_an_encoder_cannot_take_get_a_sentence(pair: Path) -> None:
    fixed = TextEncoder(pair / "fixed.onnx")
    with pytest.raises(SearchError, match=r"make 5 tokens, and fixed.onnx reads 4: use fewer words"):
        fixed.vector("red red red red red")
    for words in (" ", "red " * 100):
        with pytest.raises(SearchError, match="1 to 300 characters"):
            fixed.vector(words)


def test_a_class_ranks_its_own_tiles_first(grid: EmbeddingTable, label_files: Path) -> None:  # noqa: F811
    samples = sample(grid, read_labels(label_files / "labels.geojson"))
    classes = class_marks(samples)
    assert set(classes) == set(NAMES)
    found = query_of_class(grid, "Forest", classes)
    assert "balanced accuracy" in found.note and found.title == "tiles labelled “forest”"
    unlabelled = np.ones(len(grid), bool)
    unlabelled[samples.rows] = False
    rows = nearest(grid, found.vector, 50, among=unlabelled).rows
    assert (NAMES[truth()[rows]] == "forest").mean() > 0.95
    with pytest.raises(SearchError, match=r"No class is called “desert”; the labels have: .*forest"):
        query_of_class(grid, "desert", classes)


def test_names_of_classes_match_from_the_beginning(grid: EmbeddingTable) -> None:  # noqa: F811
    from core.atlas.analysis.label import Marks

    classes = {name: Marks((0,), (1,)) for name in ("Rain forest", "forest", "Forest edge", "urban")}
    assert matching_classes(" FOREST ", classes) == ("forest", "Forest edge", "Rain forest")
    assert matching_classes("", classes) == () == matching_classes("sea", classes)


def test_a_place_says_how_far_the_table_is(grid: EmbeddingTable) -> None:  # noqa: F811
    near = query_of_place(grid, NamedPlace("here", 10.0, 45.0))
    assert near.exclude == (0,) and "0 m away" in near.note and "may not cover" not in near.note
    assert "may not cover the place" in query_of_place(grid, NamedPlace("there", -60.0, -10.0)).note
