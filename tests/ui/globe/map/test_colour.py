"""Colours of the maps: the choices, and that bytes, palette and legend agree."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from core.atlas import EmbeddingTable, make_rows
from core.viz.theme import CLASSES, HEAT, UNKNOWN, colour_map
from tests.globe_tables import columns_of, places, vectors_at
from ui.globe.map.colour import MAX_NAMED, colour_choices, encode, encoded_colours, rgb_of
from ui.globe.panel_api import Layer


def table_of(count: int = 200, **more: object) -> EmbeddingTable:
    lonlat = places(count)
    return EmbeddingTable.from_rows(make_rows(vectors_at(lonlat), columns_of(lonlat, **more)))


@pytest.fixture(scope="module")
def table() -> EmbeddingTable:
    return table_of()


def positions(colours: bytes) -> np.ndarray:
    return np.frombuffer(colours, np.uint8, offset=16)


def test_columns_with_one_value_are_not_offered(table: EmbeddingTable) -> None:
    found = colour_choices(table, None)
    assert list(found)[:3] == ["appearance", "groups", "column:recon_loss_low"]
    assert "column:gsd_m" in found  # two scales
    assert not {
        "similar",
        "column:model",
        "column:unique_id",
        "column:geometry",
        "column:recon_loss_high",
    } & set(found)
    assert "similar" in colour_choices(table, 3)


def test_appearance_is_three_bytes_a_point_with_a_disc_of_colours_as_legend(table: EmbeddingTable) -> None:
    encoded = encoded_colours(table, "appearance", None)
    assert len(encoded.colours) == 16 + 3 * len(table)
    assert not encoded.legend.entries and encoded.legend.scale is None
    assert len(set(encoded.legend.wheel)) == 12 and encoded.legend.note
    assert len(np.unique(rgb_of(encoded), axis=0)) > 50


def test_similarity_is_highest_at_the_selected_place(table: EmbeddingTable) -> None:
    encoded = encoded_colours(table, "similar", 7)
    at = positions(encoded.colours)
    assert len(encoded.colours) == 16 + len(table)
    assert at[7] == at.max() == len(encoded.palette) - 1
    assert encoded.palette[-1] == HEAT[-1]


def test_scale_ends_match_the_legend_and_unknown_values_are_grey() -> None:
    values = np.array([0, 5, 10, np.nan, 20], np.float32)
    encoded = encode(Layer("loss", values=values, limits=(0, 10)))
    at = positions(encoded.colours)
    assert [encoded.palette[n] for n in at] == [
        colour_map(("#440154", "#fde725"))[0],
        encoded.palette[at[1]],
        "#fde725",
        UNKNOWN,
        "#fde725",
    ]
    assert encoded.legend.scale == ("0", "10")
    assert encoded.palette.count(UNKNOWN) == 1
    ramp = {round(n * (len(encoded.palette) - 1) / 23) for n in range(24)}
    assert encoded.palette.index(UNKNOWN) not in ramp, (
        "the legend draws 24 of the palette's colours and must not pass through grey"
    )


@pytest.mark.parametrize(
    "values", [np.full(5, 3.0), np.full(5, np.nan), np.zeros(5), np.array([1, 1, 1, 1, np.inf])]
)
def test_columns_without_a_range_still_have_colours(values: np.ndarray) -> None:
    encoded = encode(Layer("flat", values=values.astype(np.float32)))
    assert len(positions(encoded.colours)) == 5
    assert positions(encoded.colours).max() < len(encoded.palette)


def test_classes_keep_their_names_and_negative_is_unknown() -> None:
    encoded = encode(Layer("kinds", categories=np.array([0, 1, 1, -1]), names=("sea", "land", "never seen")))
    assert encoded.legend.entries == (("sea", 0), ("land", 1), ("unknown", len(encoded.palette) - 1))
    assert rgb_of(encoded)[0].tolist() == [int(CLASSES[0][n : n + 2], 16) for n in (1, 3, 5)]
    assert encoded.palette[positions(encoded.colours)[3]] == UNKNOWN


def test_rare_values_are_grouped_as_others() -> None:
    words = [f"kind {n % 40 if n % 2 else 0}" for n in range(200)]
    table = table_of(product_id=words)
    encoded = encoded_colours(table, "column:product_id", None)
    names = [name for name, _ in encoded.legend.entries]
    assert names[0] == "kind 0"
    assert len(names) == MAX_NAMED + 1
    assert names[-1].endswith("others")


def test_unknown_choices_fall_back_to_appearance(table: EmbeddingTable) -> None:
    for by in ("similar", "column:nothing", "painted", "nonsense"):
        assert encoded_colours(table, by, None).layer.rgb is not None


def test_equal_layers_are_recognised() -> None:
    values = np.array([1, np.nan], np.float32)
    assert Layer("a", values=values).same(Layer("a", values=values.copy()))
    assert not Layer("a", values=values).same(Layer("b", values=values))
    assert not Layer("a", values=values).same(Layer("a", values=np.array([1, 2], np.float32)))
    assert not Layer("a", values=values).same(None)


def test_timestamps_are_years() -> None:
    stamps = pa.array([0, 365 * 24 * 3600 * 10**6] * 100, pa.timestamp("us", tz="UTC"))
    encoded = encoded_colours(table_of(timestamp=stamps), "column:timestamp", None)
    assert encoded.layer.values is not None
    assert encoded.layer.values[:2].round(1).tolist() == [1970.0, 1971.0]
