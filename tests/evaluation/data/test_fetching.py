"""Downloads of a data set from a local stand-in for its publisher."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.cli.entry import main
from core.evaluation.data import ade20k, releases, spacenet
from core.evaluation.data.datasets import DataSpec, open_set
from core.evaluation.data.fetching import FetchSetError, fetch_set
from core.evaluation.data.published import PUBLISHED
from core.evaluation.data.releases import DATASET_RELEASES, DatasetRelease, SetArchive, dataset_release
from core.net import download as downloading
from tests.evaluation.conftest import CLASSES, picture


class Publisher:
    """A server with `content` by path; it breaks off after `cut_after` bytes, once."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.cut_after: int | None = None
        self.ranges: list[str] = []


@pytest.fixture
def publisher(monkeypatch):
    served = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_): ...

        def do_GET(self):
            body, asked = served.content.get(self.path), self.headers.get("Range", "")
            if body is None:
                self.send_error(404)
                return
            served.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            stop, served.cut_after = served.cut_after, None
            self.wfile.write(body[start:stop])

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    served.address = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setenv("EARTH_MAE_ONLINE_LOCAL", "1")
    monkeypatch.setattr(downloading, "PAUSE_S", 0.0)
    yield served
    running.shutdown()
    running.server_close()


def images_zip():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for kind, name in enumerate(CLASSES[:2]):
            for number in range(10):
                image = io.BytesIO()
                picture(kind, number, 64).save(image, "PNG")
                archive.writestr(f"EuroSAT_RGB/{name}/{name}_{number}.png", image.getvalue())
    return content.getvalue()


def tar_of(members):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


@pytest.fixture
def eurosat(publisher, monkeypatch):
    """EuroSAT's release with this publisher's archive."""
    content = images_zip()
    publisher.content["/EuroSAT_RGB.zip"] = content
    archive = SetArchive(
        "EuroSAT_RGB.zip",
        f"{publisher.address}/EuroSAT_RGB.zip",
        f"sha256:{hashlib.sha256(content).hexdigest()}",
        len(content),
    )
    release = DatasetRelease("eurosat", "EuroSAT RGB", (archive,), "MIT", "https://example.org")
    monkeypatch.setitem(DATASET_RELEASES, "eurosat", release)
    return release


def test_a_set_is_fetched_checked_and_found_by_name(eurosat, publisher, tmp_path, capsys):
    assert main(["fetch", "EuroSAT", "--to", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["path"] == str(tmp_path / "EuroSAT_RGB.zip")
    assert "EuroSAT RGB: 0 MB, licence: MIT; address not verified" in err
    assert f"python -m core evaluate eurosat --data {tmp_path}" in err
    assert len(open_set(DataSpec("eurosat"), (tmp_path,)).files) == 20
    sha256 = hashlib.sha256(publisher.content["/EuroSAT_RGB.zip"]).hexdigest()
    assert (tmp_path / "EuroSAT_RGB.zip.sha256").read_text().startswith(sha256)
    assert main(["fetch", "eurosat", "--to", str(tmp_path)]) == 0
    assert len(publisher.ranges) == 1  # it exists already


def test_a_broken_connection_resumes(eurosat, publisher, tmp_path):
    publisher.cut_after = 1000
    seen = []
    path = fetch_set(eurosat, tmp_path, seen.append)
    assert path.read_bytes() == publisher.content["/EuroSAT_RGB.zip"]
    assert publisher.ranges == ["", "bytes=1000-"]
    assert seen[-1].done_bytes == seen[-1].total_bytes == len(path.read_bytes())


def test_another_file_is_deleted_and_named(eurosat, publisher, tmp_path):
    publisher.content["/EuroSAT_RGB.zip"] = b"<html>sign in</html>"
    with pytest.raises(FetchSetError, match=r"is not the published file \(its SHA256 is .* and was deleted"):
        fetch_set(eurosat, tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "EuroSAT_RGB.zip").write_bytes(b"older")
    with pytest.raises(FetchSetError, match="delete it, then fetch the set again"):
        fetch_set(eurosat, tmp_path)


def test_an_archive_without_a_published_hash_must_be_one(publisher, tmp_path):
    publisher.content["/WHU-RS19.zip"] = b"<html>not found</html>"
    archive = SetArchive("WHU-RS19.zip", f"{publisher.address}/WHU-RS19.zip")
    release = DatasetRelease("whu_rs19", "WHU-RS19", (archive,), "see its page", "https://example.org")
    with pytest.raises(FetchSetError, match="it is not an archive"):
        fetch_set(release, tmp_path)
    publisher.content["/WHU-RS19.zip"] = images_zip()
    assert fetch_set(release, tmp_path).name == "WHU-RS19.zip"


def test_a_missing_answer_explains_the_manual_download(eurosat, publisher, tmp_path, capsys):
    publisher.content.clear()
    assert main(["fetch", "eurosat", "--to", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "404" in err and f"By hand: download it from {publisher.address}" in err
    assert "Traceback" not in err


def release_of(publisher, *contents):
    archives = []
    for number, content in enumerate(contents):
        publisher.content[f"/{number}.tar.gz"] = content
        archives.append(SetArchive(f"{number}.tar.gz", f"{publisher.address}/{number}.tar.gz"))
    return DatasetRelease(
        "spacenet", "SpaceNet 1", tuple(archives), "x", "https://example.org", "SN1_buildings"
    )


def test_tar_archives_are_unpacked_into_one_folder(publisher, tmp_path):
    images = tar_of([(tarfile.TarInfo("3band/3band_AOI_1_RIO_img1.tif"), b"II")])
    labels = tar_of([(tarfile.TarInfo("geojson/Geo_AOI_1_RIO_img1.geojson"), b"{}")])
    folder = fetch_set(release_of(publisher, images, labels), tmp_path)
    assert sorted(path.name for path in folder.rglob("*.*")) == [
        "3band_AOI_1_RIO_img1.tif",
        "Geo_AOI_1_RIO_img1.geojson",
    ]
    assert [path.name for path in tmp_path.glob("*.gz")] == []
    asked = len(publisher.ranges)
    assert (
        fetch_set(release_of(publisher, images, labels), tmp_path) == folder
        and len(publisher.ranges) == asked
    )


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt"])
def test_hostile_members_of_a_tar_stay_inside(publisher, tmp_path, name):
    link = tarfile.TarInfo("3band/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hostile = tar_of([(link, b""), (tarfile.TarInfo(name), b"x")])
    target = tmp_path / "sets"
    try:
        folder = fetch_set(release_of(publisher, hostile), target)
    except FetchSetError as problem:
        assert "cannot be unpacked" in str(problem)
        assert not (target / "SN1_buildings").exists()
    else:
        assert all(
            path.resolve().is_relative_to(folder) and not path.is_symlink() for path in folder.rglob("*")
        )
    assert not (tmp_path / "outside.txt").exists() and not (target / "outside.txt").exists()


def test_a_tar_bomb_is_refused(publisher, tmp_path, monkeypatch):
    monkeypatch.setattr("core.evaluation.data.fetching.MAX_UNPACKED_BYTES", 100)
    bomb = tar_of([(tarfile.TarInfo(f"3band/{n}"), b"0" * 60) for n in range(2)])
    with pytest.raises(FetchSetError, match="not the published file"):
        fetch_set(release_of(publisher, bomb), tmp_path)
    assert not (tmp_path / "SN1_buildings").exists() and not list(tmp_path.glob(".SN1*"))


def test_sets_without_an_archive_name_their_page(tmp_path, capsys):
    assert main(["fetch", "optimal-31", "--to", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "https://crabwq.github.io/" in err and "as OPTIMAL-31/Images" in err


def test_an_unknown_name_lists_the_known_ones(capsys):
    assert main(["fetch", "imagenet"]) == 2
    err = capsys.readouterr().err
    assert "scale-mae" in err and "eurosat" in err and "spacenet" in err


FOLDERS = {"spacenet": spacenet.FOUND_AS[0], "ade20k": ade20k.FOUND_AS[0]}


def test_every_release_is_of_a_set_that_can_be_opened():
    for name, release in DATASET_RELEASES.items():
        assert dataset_release(name) is release
        if name in FOLDERS:
            assert release.unpack_to == FOLDERS[name]
            continue
        known = PUBLISHED[name]
        for archive in release.archives:
            assert archive.file in known.found_as and archive.url.startswith("https://")
            assert archive.about_bytes is None or archive.about_bytes < archive.max_bytes
    assert releases.FETCHED_FOLDER.name == "sets"


def test_a_missing_set_says_how_to_download_it(tmp_path):
    with pytest.raises(Exception, match="or download it with python -m core fetch resisc45"):
        open_set(DataSpec("resisc45"), (tmp_path,))
