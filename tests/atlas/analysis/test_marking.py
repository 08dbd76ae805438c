"""Marks on disk: a log with undo, under a key that cannot be guessed."""

import json

import numpy as np
import pytest

from core.atlas import EmbeddingTable, SearchError
from core.atlas.analysis import marking as module
from core.atlas.analysis.marking import Sheet, load_sheet, new_key, save_sheet


def test_marks_and_undo():
    sheet = Sheet("rivers", "world").marked("a", "yes").marked("b", "no").marked("a", "no")
    assert sheet.now() == {"b": "no", "a": "no"}
    assert sheet.marked("a", "no") is sheet
    assert sheet.undone().now() == {"a": "yes", "b": "no"}
    assert sheet.marked("b", "none").now() == {"a": "no"}
    assert Sheet().undone() == Sheet()


def test_marks_become_rows_of_whatever_table_holds_them(rows):
    table = EmbeddingTable.from_rows(rows(n=20))
    sheet = Sheet().marked("000000003", "yes").marked("000000007", "no").marked("elsewhere", "yes")
    marks, missing = sheet.marks(table)
    assert (marks.yes, marks.no, missing) == ((3,), (7,), 1)
    half = table.take(np.arange(5, 20))
    assert sheet.marks(half)[0].no == (2,) and sheet.marks(half)[1] == 2
    assert Sheet().marks(table)[0].yes == ()


def test_a_sheet_is_opened_by_its_key_only(tmp_path):
    sheet, key = Sheet("Flüsse", "world").marked("a", "yes"), new_key()
    save_sheet(tmp_path, key, sheet)
    assert load_sheet(tmp_path, key) == sheet
    assert [path.name for path in tmp_path.iterdir()] == [f"{key}.json"]
    with pytest.raises(SearchError, match="not stored here"):
        load_sheet(tmp_path, new_key())
    for hostile in ("../../etc/passwd", "", "a" * 15, f"{key}/", "x" * 400):
        with pytest.raises(SearchError, match="names no list of marks"):
            load_sheet(tmp_path, hostile)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"title": "", "table": "", "log": 3}',
        '{"title": "", "table": "", "log": [1]}',
        "\x00\xff",
    ],
)
def test_a_damaged_sheet_is_reported(tmp_path, content):
    key = new_key()
    (tmp_path / f"{key}.json").write_text(content, encoding="latin-1")
    with pytest.raises(SearchError, match="cannot be read"):
        load_sheet(tmp_path, key)


def test_invalid_marks_in_a_file_are_ignored(tmp_path):
    key = new_key()
    (tmp_path / f"{key}.json").write_text(
        json.dumps({"title": "t", "table": "w", "log": [["a", "yes"], ["b", "<script>"]]})
    )
    assert load_sheet(tmp_path, key).now() == {"a": "yes"}


def test_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_MARKS", 2)
    with pytest.raises(SearchError, match="A list holds at most 2 marks"):
        Sheet().marked("a", "yes").marked("b", "yes").marked("c", "yes")
    monkeypatch.setattr(module, "MOST_SHEETS", 3)
    for _ in range(5):
        save_sheet(tmp_path, new_key(), Sheet())
    assert len(list(tmp_path.iterdir())) == 3
