"""Online rasters: a window costs only its bytes, errors are explained, no request without permission."""

import socket

import numpy as np
import pytest

from core.errors import ExplorerError
from core.geo import GeoError, TileRef, TileSpec, known_sources, open_source
from core.geo.sources import remote
from core.geo.sources.listed import Listed
from core.geo.sources.online import NAME, OnlineSource, open_remote
from core.geo.sources.remote import CHUNK_BYTES, RemoteFile
from core.net.client import RequestLimits, Web
from core.net.online import LOCAL_SWITCH, SWITCH, OnlineError

PLACE = (-112.7, 40.8)


def window(source, **more):
    return source.read(TileSpec(source.ref(), lonlat=PLACE, **{"gsd_m": 30, "size_px": 128, **more}))


def same_as_local(server, name, tile, **more):
    local = window(open_source(server.service.files[name], name=name), **more)
    return (
        np.array_equal(local.pixels, tile.pixels)
        and np.array_equal(local.valid, tile.valid)
        and local.footprint == tile.footprint
    )


def test_a_window_costs_a_small_part_of_the_file(server):
    size = len(server.service.files["visual.tif"])
    source = open_source(f"{server.base}/cog/visual.tif")
    opened = server.bytes_sent()
    assert opened <= 4 * CHUNK_BYTES
    tile = window(source)
    cost = server.bytes_sent() - opened
    assert tile.gsd == pytest.approx(30)
    assert same_as_local(server, "visual.tif", tile)
    assert 0 < cost < 0.07 * size
    assert max(one.bytes for one in server.service.sent) < 0.05 * size
    window(source)  # again, from what is kept
    assert server.bytes_sent() == opened + cost


def test_a_coarse_tile_reads_an_overview(server):
    size = len(server.service.files["visual.tif"])
    source = open_source(f"{server.base}/cog/visual.tif")
    tile = window(source, gsd_m=240, size_px=128)
    assert tile.gsd == pytest.approx(240)
    assert same_as_local(server, "visual.tif", tile, gsd_m=240, size_px=128)
    assert server.bytes_sent() < 0.08 * size


def test_sixteen_bits_are_stretched_as_on_disk(server):
    tile = window(open_source(f"{server.base}/cog/deep.tif"))
    local = window(open_source(server.service.files["deep.tif"], name="deep.tif"))
    assert tile.value_range == local.value_range
    assert same_as_local(server, "deep.tif", tile)


def test_the_blocks_of_a_window_are_requested_together(server):
    source = open_source(f"{server.base}/cog/visual.tif")
    server.service.sent.clear()
    window(source, size_px=256)
    blocks = -(-256 // 128) + 1
    assert len(server.service.sent) <= blocks  # one request per row of blocks, not one per block


def test_threads_share_a_remote_raster(server):
    from concurrent.futures import ThreadPoolExecutor

    source = open_source(f"{server.base}/cog/visual.tif")
    local = open_source(server.service.files["visual.tif"], name="x.tif")

    def both(i):
        spec = {"window": (20 * i, 15 * i, 64, 64)}
        return np.array_equal(
            source.read(TileSpec(source.ref(), **spec)).pixels,
            local.read(TileSpec(local.ref(), **spec)).pixels,
        )

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(both, range(40)))


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/signed/visual.tif?sig=old", OnlineError, "expired or needs a signature"),
        ("/cog/none.tif", OnlineError, "no file at this address"),
        ("/whole/visual.tif", OnlineError, "does not support range requests"),
        ("/html/page.tif", OnlineError, "web page"),
        ("/html/part.tif", GeoError, "web page"),
        ("/items/clear.json", OnlineError, "does not support range requests"),
        ("/cog/strips.tif", GeoError, "not cloud-optimised"),
        ("/cog/huge.tif", GeoError, r"declares 2,000,000 x 2,000,000 px"),
        ("/slow/a.tif", OnlineError, "does not answer in time"),
    ],
)
def test_files_that_are_not_cogs_are_reported(server, path, kind, message):
    with pytest.raises(kind, match=message) as caught:
        open_remote(Web(limits=RequestLimits(wait_s=0.5)), f"{server.base}{path}")
    assert str(caught.value).endswith(".")
    assert "sig=" not in str(caught.value)


def test_a_link_that_expires_between_two_windows_is_reported(server):
    source = open_source(f"{server.base}/fails-later/visual.tif")
    with pytest.raises(OnlineError, match="search the catalogue again"):
        window(source)


def test_a_file_that_changes_while_it_is_read_is_noticed(server):
    source = open_source(f"{server.base}/changing/visual.tif")
    with pytest.raises(OnlineError, match="changed on the server"):
        window(source)


def test_a_truncated_file_is_refused(server):
    source = open_source(f"{server.base}/cog/cut.tif")
    with pytest.raises(GeoError, match="cut short"):
        source.read(TileSpec(source.ref(), window=(1300, 1300, 150, 150)))


def test_the_bytes_of_one_window_are_limited(server, monkeypatch):
    monkeypatch.setattr(remote, "AT_ONCE_BYTES", 50_000)
    with pytest.raises(OnlineError, match="coarser GSD"):
        window(open_source(f"{server.base}/cog/visual.tif"), size_px=256)


def test_the_cached_part_of_a_file_is_bounded(server, monkeypatch):
    monkeypatch.setattr(remote, "KEPT_BYTES", 10 * CHUNK_BYTES)
    whole = server.service.files["visual.tif"]
    file = RemoteFile(Web(), f"{server.base}/cog/visual.tif")
    assert file.parts([(0, len(whole))]) == [whole]
    assert len(file._chunks) <= 10
    assert file.parts([(5, 7), (len(whole) - 3, 100), (10**9, 4)]) == [whole[5:12], whole[-3:], b""]
    assert file.fetched_bytes == server.bytes_sent()


def test_a_signature_is_used_and_never_shown(server):
    source = open_source(f"{server.base}/signed/visual.tif?sig=good")
    tile = window(source)
    assert "sig=" not in f"{source.keys()} {source.entry(source.keys()[0])} {source.info} {tile.ref}"
    assert any("sig=good" in one.path for one in server.service.sent)


def test_the_catalogue_opens_any_permitted_address(server):
    catalogue = known_sources()
    address = f"{server.base}/cog/visual.tif"
    tile = catalogue.read(TileSpec(TileRef(NAME, address), lonlat=PLACE, gsd_m=30, size_px=64))
    assert tile.ref.key == address
    assert catalogue.source(NAME).keys() == ()
    for key in (
        "a.tif",
        "/etc/passwd",
        "/vsicurl/http://127.0.0.1/x",
        "file:///etc/passwd",
        "stac:http://127.0.0.1/x",
    ):
        with pytest.raises(GeoError, match="named by its https address"):
            catalogue.read(TileSpec(TileRef(NAME, key)))


def test_entries_of_a_catalogue_are_remembered(server):
    from core.geo import Entry

    source = OnlineSource()
    key = f"{server.base}/signed/visual.tif"
    with pytest.raises(OnlineError, match="expired"):
        source.header(key)
    source.remember(
        Listed(Entry(key, "a scene", credit="whose", when="2024-06-11T18:20:00Z"), f"{key}?sig=good")
    )
    assert source.read(TileSpec(TileRef(NAME, key), lonlat=PLACE, gsd_m=30, size_px=32)).credit == "whose"


def test_nothing_connects_while_online_access_is_off(server, monkeypatch):
    monkeypatch.delenv(SWITCH)
    monkeypatch.delenv(LOCAL_SWITCH)
    dialled = []
    monkeypatch.setattr(socket.socket, "connect", lambda *a: dialled.append(a))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: dialled.append(a))
    catalogue = known_sources()
    asks = [
        lambda: open_source("https://example.org/a.tif"),
        lambda: open_source(f"{server.base}/cog/visual.tif"),
        lambda: open_source("stac:https://example.org/items/a.json"),
        lambda: catalogue.read(TileSpec(TileRef(NAME, "https://example.org/a.tif"))),
        lambda: catalogue.source(NAME).header("https://example.org/a.tif"),
    ]
    for ask in asks:
        with pytest.raises(ExplorerError, match="online access is off"):
            ask()
    assert not dialled  # the server's log may still receive requests that an earlier test gave up on


def test_stac_items_and_lists_open_as_rasters(server):
    source = open_source(f"stac:{server.base}/items/hazy.json")
    assert source.entry(source.keys()[0]).when == "2024-07-01T18:20:00Z"
    assert same_as_local(server, "visual.tif", window(source))
    assert open_source(f"stac:{server.base}/items/hazy.json#red").keys() == (f"{server.base}/cog/deep.tif",)
    assert open_source(f"stac:{server.base}/list.json").keys() == (f"{server.base}/cog/visual.tif",)
    with pytest.raises(GeoError, match="choose one of red, visual"):
        open_source(f"stac:{server.base}/items/hazy.json#nir")
    with pytest.raises(OnlineError, match="no STAC item"):
        open_source(f"stac:{server.base}/nothing.json".replace("nothing", "slow"))
