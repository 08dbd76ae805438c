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
from tests.labelled_grid import NAMES, truth
from tests.text_encoder_pair import COLOURS, TOKENIZER, VOCABULARY


def coloured(weights: str | None) -> EmbeddingTable:
    """Rows that are red, green and blue."""
    made = {"model": ["vision_model"] * 3, "checkpoint_sha256": [weights] * 3}
    return EmbeddingTable.from_rows(make_rows(np.eye(3, dtype=np.float32), made), "colours")


def test_words_find_what_the_image_half_saw(encoder_pair: Path) -> None:
    table = coloured(file_sha256(encoder_pair / "vision_model.onnx"))
    for name in ("text_model.onnx", "fixed.onnx"):
        encoder = TextEncoder(encoder_pair / name)
        found = [nearest(table, query_of_text(table, word, encoder).vector, 1).rows[0] for word in COLOURS]
        assert found == [0, 1, 2], name
        np.testing.assert_array_equal(encoder.vector("red  blue"), [1, 0, 1])


def test_a_text_encoder_of_another_network_is_refused(encoder_pair: Path) -> None:
    encoder = TextEncoder(encoder_pair / "text_model.onnx")
    with pytest.raises(SearchError, match=r"made with vision_model \(aaaaaaaaaaaa\).*image half"):
        query_of_text(coloured("a" * 64), "red", encoder)
    with pytest.raises(SearchError, match="does not say which weights made it"):
        query_of_text(coloured(None), "red", encoder)
    right = coloured(file_sha256(encoder_pair / "vision_model.onnx"))
    (encoder_pair / "vision_model.onnx").rename(encoder_pair.parent / "vision_model.onnx")
    with pytest.raises(SearchError, match="no file beside the text encoder"):
        query_of_text(right, "red", encoder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "tokenizer.json").unlink(), "no tokenizer.json beside it"),
        (lambda p: (p / "tokenizer.json").write_text("{}"), "not a tokenizer that can be read"),
        (lambda p: (p / "text_model.onnx").write_bytes(b"odd"), "truncated or damaged"),
        (lambda p: (p / "text_model.onnx").unlink(), "There is no file text_model.onnx"),
        (lambda p: (p / "vision_model.onnx").replace(p / "text_model.onnx"), "export the text encoder alone"),
    ],
)
def test_invalid_text_encoders_are_reported(encoder_pair: Path, spoil: Any, message: str) -> None:
    spoil(encoder_pair)
    with pytest.raises(SearchError, match=message):
        TextEncoder(encoder_pair / "text_model.onnx").vector("red")


def test_unsupported_words_are_reported(encoder_pair: Path) -> None:
    fixed = TextEncoder(encoder_pair / "fixed.onnx")
    with pytest.raises(SearchError, match=r"make 5 tokens, and fixed.onnx reads 4: use fewer words"):
        fixed.vector("red red red red red")
    for words in (" ", "red " * 100):
        with pytest.raises(SearchError, match="1 to 300 characters"):
            fixed.vector(words)


def test_a_tokenizer_of_another_text_encoder_is_reported(encoder_pair: Path) -> None:
    other = TOKENIZER | {"model": TOKENIZER["model"] | {"vocab": VOCABULARY | {"red": 9_999}}}
    (encoder_pair / "tokenizer.json").write_text(json.dumps(other))
    with pytest.raises(SearchError, match=r"cannot run on the 1 tokens .* check that the tokenizer belongs"):
        TextEncoder(encoder_pair / "text_model.onnx").vector("red")


def test_a_class_ranks_its_own_tiles_first(grid: EmbeddingTable, label_files: Path) -> None:
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


def test_names_of_classes_match_from_the_beginning(grid: EmbeddingTable) -> None:
    from core.atlas.analysis.label import Marks

    classes = {name: Marks((0,), (1,)) for name in ("Rain forest", "forest", "Forest edge", "urban")}
    assert matching_classes(" FOREST ", classes) == ("forest", "Forest edge", "Rain forest")
    assert matching_classes("", classes) == () == matching_classes("sea", classes)


def test_a_place_says_how_far_the_table_is(grid: EmbeddingTable) -> None:
    near = query_of_place(grid, NamedPlace("here", 10.0, 45.0))
    assert near.exclude == (0,) and "0 m away" in near.note and "may not cover" not in near.note
    assert "may not cover the place" in query_of_place(grid, NamedPlace("there", -60.0, -10.0)).note
