"""PNG and JPEG, folders of them, and where they are placed by a world file."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.geo import GeoError, TileSpec, open_source, to_unit
from core.geo.sources.picture_file import MAX_PICTURE_PX, decode_picture, parse_world_file


def png(pixels, mode=None, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels, mode).save(stream, "PNG", **options)
    return stream.getvalue()


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def test_a_picture_needs_a_stated_gsd_and_keeps_it(tmp_path, rgb):
    path = tmp_path / "yard.png"
    path.write_bytes(png(rgb))
    with pytest.raises(GeoError, match="state its GSD"):
        source = open_source(path)
        source.read(TileSpec(source.ref()))
    source = open_source(path, gsd_m=0.3)
    tile = source.read(TileSpec(source.ref(), window=(5, 5, 20, 10)))
    np.testing.assert_array_equal(tile.pixels, rgb[5:15, 5:25].transpose(2, 0, 1))
    assert (tile.gsd, tile.footprint) == (0.3, None)


def test_the_format_is_detected_by_content_not_by_name(tmp_path, rgb):
    path = tmp_path / "really_a.tif"
    path.write_bytes(png(rgb))
    assert open_source(path, gsd_m=1).info.kind == "picture"


def test_grey_sixteen_bit_palette_and_alpha_pictures(rgb):
    grey = decode_picture(png(rgb[..., 0]), "grey.png")
    np.testing.assert_array_equal(grey.pixels, np.stack([rgb[..., 0]] * 3))
    deep = decode_picture(png(rgb[..., 0].astype(np.uint16) * 200), "deep.png")
    assert deep.pixels.dtype.itemsize >= 2
    assert deep.pixels.max() > 255
    palette = decode_picture(png(np.array([[0, 1]], np.uint8)), "p.png")
    assert palette.pixels.shape == (3, 1, 2)
    alpha = np.full((30, 50), 255, np.uint8)
    alpha[:10] = 0
    clear = decode_picture(png(np.dstack([rgb, alpha])), "alpha.png")
    raw = clear.read(0, (0, 0, 50, 30))
    np.testing.assert_array_equal(raw.valid, alpha > 0)
    assert not raw.pixels[:, :10].any()


def test_a_sixteen_bit_picture_is_stretched_by_its_own_range(rgb):
    source = open_source(png(rgb[..., 0].astype(np.uint16) * 200), gsd_m=1, name="deep.png")
    unit = to_unit(source.read(TileSpec(source.ref())))
    assert unit.min() == 0
    assert unit.max() == 1


def test_a_png_bomb_is_refused_before_it_is_decoded():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (9_000, 60_000, 2**31 - 1):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(10_000)))
            + chunk(b"IEND", b"")
        )
        with pytest.raises(GeoError, match=r"pixels|million"):
            open_source(bomb, gsd_m=1, name="bomb.png")
    assert MAX_PICTURE_PX <= 64_000_000


def test_world_files_place_outer_corners():
    assert parse_world_file("0.5\n0\n0\n-0.5\n-179.75\n89.75\n") == (0.5, 0, -180, 0, -0.5, 90)
    assert parse_world_file("not a world file") is None
    assert parse_world_file("1 2 3") is None


def test_a_folder_serves_its_own_files_only(tmp_path, rgb, make_tif, noise):
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.png").write_bytes(png(rgb))
    make_tif(noise).rename(folder / "b.tif")
    (folder / "notes.txt").write_text("not a picture")
    outside = tmp_path / "secret.png"
    outside.write_bytes(png(rgb))
    (folder / "link.png").symlink_to(outside)
    source = open_source(folder, gsd_m=2)
    assert source.keys() == ("b.tif", "deep/a.png")
    assert source.read(TileSpec(source.ref("deep/a.png"))).gsd == 2
    assert source.read(TileSpec(source.ref("b.tif"))).gsd == 10
    for key in ("link.png", "../secret.png", "../../x", str(outside), "notes.txt", ""):
        with pytest.raises(GeoError, match="is not in"):
            source.read(TileSpec(source.ref(key)))
    (folder / "b.tif").unlink()
    with pytest.raises(GeoError, match="is no longer in the folder"):
        open_source(folder, gsd_m=2) and source._open("b.tif")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(GeoError, match="contains no"):
        open_source(tmp_path)
