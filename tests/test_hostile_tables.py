"""Hostile tables, wherever tables are opened: `open_table`, the Globe and its links, the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.atlas import EmbeddingTable, TableError, open_table
from core.atlas.store.shards import MANIFEST
from core.cli.entry import main
from core.errors import ExplorerError
from core.geo.catalogue import DATA_VARIABLE
from tests.conftest import ROOT
from tests.hostile_tables import odd_tables, tables, whole
from tests.test_hostile import bounded, refused
from tests.thorough import a_few

TABLES, ODD = tables(), odd_tables()
NASTIEST = [
    "a footer of 4 GB",
    "2 to the 62 rows",
    "a schema of 100,000 groups",
    "pages of 2 to the 62 bytes",
    "a page of 2 GB",
    "a dictionary of 2 to the 31 words",
    "a word of a megabyte in every row",
    "equal rows without end",
]
NASTIEST_ODD = [
    "outlines: collections of collections",
    "words that are no text",
    "a place that is none",
    "a model in every row",
    "a model of a megabyte",
    "places beyond the poles",
    "times beyond time",
    "windows beyond pictures",
    "values that overflow",
    "outlines: a shape nested in the second part of another",
    "vectors of 2 billion claimed values",
]


def read(table: EmbeddingTable) -> None:
    """Read what the Globe reads of a table."""
    table.columns, table.stored, table.lonlat, table.models  # noqa: B018
    table.rows_where(
        "centre_lat > 0 AND id IS NOT NULL" if "id" in table.columns.column_names else "gsd_m > 0"
    )


@pytest.mark.parametrize("name", a_few(TABLES, 8))
def test_a_table_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(TABLES[name])
    refused(lambda: read(open_table(path)))


@pytest.mark.parametrize("name", a_few(ODD, 8))
def test_an_odd_table_is_shown_or_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(ODD[name])
    with bounded():
        try:
            read(open_table(path))
        except ExplorerError as refusal:
            assert str(refusal).endswith(".")


@pytest.mark.parametrize("name", a_few([*NASTIEST, *NASTIEST_ODD], 2))
def test_on_the_globe_through_a_link(name: str, tmp_path: Path, open_globe: Callable[..., AppTest]) -> None:
    """The page shows a sentence or the table, and other tables open before and after."""
    (tmp_path / "odd.parquet").write_bytes((TABLES | ODD)[name])
    (tmp_path / "good.parquet").write_bytes(whole())
    assert not open_globe("good").error  # this also imports what the page needs
    with bounded():
        app = open_globe("odd")
    assert not app.exception
    assert name not in NASTIEST or app.error
    other = open_globe("good")
    assert not other.exception
    assert not other.error


@pytest.mark.parametrize("name", a_few(NASTIEST, 2))
@pytest.mark.parametrize(
    "verb", [("search", "--row", "0"), ("search", "--lonlat", "1,2", "--where", "gsd_m < 1")]
)
def test_on_the_command_line(
    name: str, verb: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(TABLES[name])
    with bounded():
        assert main([verb[0], str(path), *verb[1:]]) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert len(message.splitlines()) == 1


def manifests() -> dict[str, bytes]:
    """Manifests that lie."""
    shard = {"file": "part-00000.parquet", "rows": 40, "bytes": 10, "sha256": "0" * 64}

    def listing(**changes: object) -> bytes:
        return json.dumps({"shards": [{**shard, **changes}]}).encode()

    return {
        "another hash": listing(),
        "a file that leaves": listing(file="../../secret.parquet"),
        "a full path": listing(file="/etc/passwd"),
        "a file that is not there": listing(file="x.parquet"),
        "a link": listing(file="link.parquet"),
        "rows that are none": listing(rows="many"),
        "no shards": b'{"shards": []}',
        "shards that are none": b'{"shards": 7}',
        "a shard that is none": b'{"shards": [7]}',
        "brackets": b"[" * 200_000,
        "objects": b'{"shards":' * 100_000,
        "text": b"shards, honestly",
        "nothing": b"",
        "no text": b"\xff\xfe" * 99,
        "ten million shards": b'{"shards": [' + b"0," * 10_000_000 + b"0]}",
    }


@pytest.mark.parametrize("name", a_few(manifests()))
def test_a_manifest_that_lies_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.parquet").write_bytes(whole())
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "part-00000.parquet").write_bytes(whole())
    (folder / "link.parquet").symlink_to(tmp_path / "secret.parquet")
    (folder / MANIFEST).write_bytes(manifests()[name])
    refused(lambda: read(open_table(folder)))


@pytest.mark.parametrize(
    "named",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "x" * 100_000,
        "\x00",
        "![x](http://127.0.0.1:9)",
        "odd/../good",
        ".",
    ],
)
def test_a_link_names_no_file(named: str, tmp_path: Path, open_globe: Callable[..., AppTest]) -> None:
    (tmp_path / "good.parquet").write_bytes(whole())
    app = open_globe(named)
    assert not app.exception
    assert app.selectbox[0].value == "good"


@pytest.fixture
def open_globe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Open the Globe with a table's name in the address."""

    def run(named: str) -> AppTest:
        monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
        monkeypatch.setattr("ui.globe.tables.WORLD", tmp_path / "nothing shipped")
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        app.switch_page("pages/3_Globe.py")
        app.query_params["table"] = named
        return app.run()

    return run


def test_the_whole_table_is_as_it_should_be(tmp_path: Path) -> None:
    """Otherwise the others might be refused for the wrong reason."""
    path = tmp_path / "t.parquet"
    path.write_bytes(whole())
    table = open_table(path)
    read(table)
    assert len(table) == 40
    with pytest.raises(TableError):
        open_table(tmp_path / "nothing.parquet")
