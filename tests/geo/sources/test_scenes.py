"""Searching a STAC catalogue for scenes, and the answers that it may give."""

import pytest

from core.geo import GeoError
from core.geo.sources.scenes import EARTH_SEARCH, SceneQuery, StacCatalogue, catalogue, read_scenes, search
from core.geo.sources.stac_items import scene_of
from core.net.client import RequestLimits, Web
from core.net.online import OnlineError

HERE = (-112.7, 40.8)
SUMMER = ("2024-05-01", "2024-08-31")


def ask(server, api="v1", lonlat=HERE, days=SUMMER, cloud=100.0, **more):
    return search(
        Web(limits=RequestLimits(wait_s=0.5)),
        SceneQuery(lonlat, *days, cloud, **more),
        StacCatalogue(f"{server.base}/{api}", "sentinel-2-l2a"),
    )


@pytest.mark.parametrize("api", ["v1", "plain"])
def test_the_least_cloudy_come_first_whether_the_catalogue_sorts_or_not(server, api):
    scenes = ask(server, api)
    assert [(s.id, s.cloud_percent) for s in scenes] == [
        ("clear", 1.5),
        ("hazy", 12.0),
        ("cloudy", 80.0),
    ]  # over two pages
    assert [s.id for s in ask(server, api, cloud=20)] == ["clear", "hazy"]
    assert [s.id for s in ask(server, api, days=("2024-07-01", "2024-07-01"))] == ["hazy"]
    assert [s.id for s in ask(server, api, lonlat=(HERE[0] + 360, HERE[1]), most=1)] == ["clear"]


def test_a_scene_has_date_outline_thumbnail_and_assets(server):
    scene = ask(server)[0]
    assert scene.when == "2024-06-11T18:20:00Z"
    assert len(scene.outline) == 1
    assert scene.outline[0][0] == (-112.909, 40.607)
    assert Web().picture(scene.thumbnail).startswith(b"\xff\xd8\xff")
    assert [a.key for a in scene.assets] == ["red", "visual"]  # not those that are in a bucket
    assert scene.asset().address == f"{server.base}/cog/visual.tif"  # written relative to the item
    listed = scene.listed("red")
    assert (listed.entry.key, listed.entry.credit) == (
        f"{server.base}/cog/deep.tif",
        "Contains modified Copernicus Sentinel data 2024",
    )


def test_the_query_is_that_of_the_stac_api(server):
    ask(server, cloud=15, most=2)
    (asked,) = server.service.questions[:1]
    assert asked["collections"] == ["sentinel-2-l2a"]
    assert asked["intersects"] == {"type": "Point", "coordinates": list(HERE)}
    assert asked["datetime"] == "2024-05-01T00:00:00Z/2024-08-31T23:59:59Z"
    assert asked["query"] == {"eo:cloud_cover": {"lte": 15}}
    assert asked["limit"] == 2


@pytest.mark.parametrize(
    ("api", "message"),
    [
        ("odd", "No scene of"),
        ("endless", "like a STAC API"),
        ("nothing", "instead of JSON"),
        ("html", "web page"),
        ("none", "no file at this address"),
        ("slow", "in time"),
        ("drip", "too slow"),
    ],
)
def test_invalid_answers_are_reported(server, api, message):
    with pytest.raises(OnlineError, match=message) as caught:
        search(
            Web(limits=RequestLimits(wait_s=0.5, whole_s=0.3)),
            SceneQuery(HERE, *SUMMER),
            StacCatalogue(f"{server.base}/{api}", "sentinel-2-l2a"),
        )
    assert str(caught.value).endswith(".")


def test_an_empty_answer_suggests_what_to_change(server):
    with pytest.raises(OnlineError, match="widen the dates, allow more cloud"):
        ask(server, lonlat=(0, 0))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (((200, 95), *SUMMER), "not a place on Earth"),
        (((float("nan"), 0), *SUMMER), "not a place on Earth"),
        ((HERE, "2024-08-01", "2024-05-01"), "swap"),
        ((HERE, "yesterday", "2024-05-01"), "date range"),
        ((HERE, *SUMMER, 130.0), "Cloud cover"),
        ((HERE, *SUMMER, 20.0, 5000), "scenes"),
    ],
)
def test_an_invalid_query_is_not_sent(query, message):
    with pytest.raises(GeoError, match=message):
        SceneQuery(*query)


def test_the_catalogue_is_a_setting(monkeypatch):
    monkeypatch.delenv("EARTH_MAE_STAC", raising=False)
    assert catalogue() == StacCatalogue(EARTH_SEARCH, "sentinel-2-l2a")
    monkeypatch.setenv("EARTH_MAE_STAC", "https://stac.example.org")
    monkeypatch.setenv("EARTH_MAE_STAC_COLLECTION", "ortho")
    assert catalogue() == StacCatalogue("https://stac.example.org", "ortho")


@pytest.mark.parametrize("change", [{"assets": 7}, {"assets": []}, {"type": "Catalog"}])
def test_an_invalid_item_gives_no_scene(server, change):
    assert scene_of(server.service.item("http://h", "a", "2024-01-01T00:00:00Z", 1.0) | change) is None
    assert scene_of([1]) is None


def test_an_odd_item_keeps_its_valid_fields(server):
    item = server.service.item("http://h", "a", "2024-01-01T00:00:00Z", 1.0)
    item |= {
        "properties": {"datetime": ["x"], "eo:cloud_cover": 1e9},
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1e9, "x"]]]},
    }
    item |= {"id": "a\x00b", "links": [{"rel": "self", "href": 3}, 4]}
    item["assets"]["visual"] |= {"href": "file:///etc/passwd", "roles": 4, "gsd": "x"}
    scene = scene_of(item, "https://example.org/items/here.json")
    assert (scene.id, scene.when, scene.cloud_percent, scene.outline) == ("here.json", "", None, ())
    assert [a.key for a in scene.assets] == ["red"]
    assert scene.asset().key == "red"
    item["assets"] = {"x": {"href": "s3://a/b.tif", "type": "image/tiff"}}
    with pytest.raises(GeoError, match="has no GeoTIFF"):
        scene_of(item).asset()


def test_items_are_read_from_their_address(server):
    assert read_scenes(Web(), f"{server.base}/items/clear.json")[0].id == "clear"
    assert len(read_scenes(Web(), f"{server.base}/list.json")) == 3
