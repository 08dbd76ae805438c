"""Place names and coordinates, as people write them."""

import numpy as np
import pytest

from core.geo.gazetteer import coordinates, find_places, nearest_towns
from core.geo.sights import SIGHTS
from core.geo.tile import GeoError


@pytest.mark.parametrize(
    ("text", "label", "lon", "lat"),
    [
        ("Rome", "Rome, Italy", 12.5, 41.9),
        ("paris", "Paris, France", 2.35, 48.85),
        ("Paris, US", "Paris, TX, United States", -95.6, 33.7),
        ("são paulo", "São Paulo, Brazil", -46.6, -23.5),
        ("SAO  PAULO", "São Paulo, Brazil", -46.6, -23.5),
        ("Москва", "Moscow, Russia", 37.6, 55.75),
        ("東京", "Tokyo, Japan", 139.7, 35.7),
        ("timbuk", "Timbuktu, Mali", -3.0, 16.8),
        ("Deutschland", "Germany (its capital, Berlin)", 13.4, 52.5),
        ("Österreich", "Austria (its capital, Vienna)", 16.4, 48.2),
        ("España", "Spain (its capital, Madrid)", -3.7, 40.4),
        ("日本", "Japan (its capital, Tokyo)", 139.7, 35.7),
        ("Allemagne", "Germany (its capital, Berlin)", 13.4, 52.5),
        ("Mongolia", "Mongolia (its largest town, Ulan Bator)", 106.9, 47.9),
        ("Australia", "Australia (its capital, Canberra)", 149.1, -35.3),
    ],
)
def test_names(text, label, lon, lat):
    found = find_places(text)[0]
    assert found.label == label
    assert (found.lon, found.lat) == pytest.approx((lon, lat), abs=0.1)


def test_the_largest_town_of_a_name_comes_first():
    populations = [place.population for place in find_places("Springfield", 3)]
    assert populations == sorted(populations, reverse=True)
    assert len(find_places("san", 5)) == 5


@pytest.mark.parametrize(
    "text",
    [
        "46.5, 7.9",
        "46.5 7.9",
        "46,5; 7,9",
        "46°30'N 7°54'E",
        "46°30'0\"N, 7°54'E",
        "7.9E 46.5N",
        " 46.5/7.9 ",
    ],
)
def test_coordinates(text):
    assert (coordinates(text).lat, coordinates(text).lon) == pytest.approx((46.5, 7.9))
    assert find_places(text)[0].label == "46.5° N, 7.9° E"


def test_southern_and_western_coordinates():
    assert (coordinates("-33.9, -18.4").lat, coordinates("33.9S 18.4W").lon) == pytest.approx((-33.9, -18.4))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The place is empty"),
        ("120, 45", "not a place on Earth.*latitude comes first"),
        ("99, 200", "not a place on Earth"),
        ("12N 13N", "twice"),
        ("Qwertzuiop", "not among the 24,000 towns"),
        ("x" * 300, "at most 120"),
        ("(((", "not among"),
    ],
)
def test_invalid_or_unknown_places_are_reported(text, sentence):
    with pytest.raises(GeoError, match=sentence):
        find_places(text)


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("Münc", "Munich, Germany"),
        ("Deutschl", "Germany (its capital, Berlin)"),
        ("北", "Beijing, China"),
        ("Моск", "Moscow, Russia"),
    ],
)
def test_large_places_appear_while_their_native_name_is_typed(typed, label):
    assert label in [place.label for place in find_places(typed, 5)]


def test_nearest_towns_have_a_country_and_a_distance():
    here = np.array([[11.58, 48.14], [np.nan, 0.0], [179.99, -16.8]], np.float32)
    (munich, unknown, fiji), km = nearest_towns(here)
    assert munich is not None and munich.label == "Munich, Germany" and munich.country == "Germany"
    assert km[0] < 5 and unknown is None and np.isinf(km[1])
    assert fiji is not None and fiji.country == "Fiji" and km[2] < 150, "across the antimeridian"
    assert nearest_towns(here[:1], 3_000_000)[0][0] != munich
    assert nearest_towns(np.zeros((0, 2)))[0] == []


def test_sights_lie_in_the_countries_that_their_names_state():
    towns, km = nearest_towns(np.array(list(SIGHTS.values())))
    beyond_the_border = {"Aral Sea, Kazakhstan"}
    for name, town, away in zip(SIGHTS, towns, km, strict=True):
        assert away < 600 and (name in beyond_the_border or name.endswith(town.country)), (name, town)
