"""`python -m core fetch` against a local server: complete, resumed, mirrored, wrong and missing files."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from core.cli.entry import BAD_INPUT, CANCELLED, OK, main
from core.cli.verbs import fetch
from core.models import create
from core.models.checkpoints import releases
from core.models.checkpoints.releases import Release
from core.net import client
from core.net import download as downloading
from core.net.download import part_of
from core.net.online import LOCAL_SWITCH


@dataclass
class Served:
    """What the server does: `content` by path, and how it misbehaves."""

    content: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    stall: bool = False
    lie_about_length: int = 0
    redirect_to: str = ""
    encoding: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            served.asked.append((self.path, asked))
            if served.redirect_to and self.path != served.redirect_to:
                self.send_response(302)
                self.send_header("Location", served.redirect_to)
                self.end_headers()
                return
            if self.path not in served.content:
                self.send_error(404)
                return
            body, start = served.content[self.path], 0
            if asked and served.ranges:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if served.encoding:
                self.send_header("Content-Encoding", served.encoding)
            self.send_header("Content-Length", str(served.lie_about_length or len(body) - start))
            self.end_headers()
            stop = start + served.cut_after.pop(0) if served.cut_after else len(body)
            self.wfile.write(body[start:stop])
            if served.stall:
                self.wfile.flush()
                time.sleep(1.5)

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    served.address = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setattr(downloading, "PAUSE_S", 0.0)
    monkeypatch.setattr(client, "PAUSE_S", 0.0)
    monkeypatch.setenv(LOCAL_SWITCH, "1")  # plain http, on this machine
    yield served
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file of the official dialect."""
    torch.manual_seed(0)
    sizes = {"img_size": 32, "embed_dim": 64, "depth": 1, "num_heads": 1, "fcn_dim": 8, "fcn_layers": 1}
    state = create(
        "scale_mae", **sizes, decoder_embed_dim=32, decoder_depth=1, decoder_num_heads=1
    ).state_dict()
    del state["mask_token_decoder"]
    path = tmp_path_factory.mktemp("weights") / "official.pth"
    torch.save({"model": state, "epoch": 799, "args": Namespace(base_resolution=2.5)}, path)
    return path.read_bytes()


@pytest.fixture
def release(server: Served, weights: bytes, monkeypatch: pytest.MonkeyPatch) -> Release:
    known = Release(
        name="scale-mae",
        file="scalemae.pth",
        urls=(f"{server.address}/first.pth", f"{server.address}/mirror.pth"),
        size_bytes=len(weights),
        sha256=hashlib.sha256(weights).hexdigest(),
        variant="the official file",
        gsd_aware=True,
    )
    monkeypatch.setitem(releases.RELEASES, "scale-mae", known)
    server.content["/first.pth"] = weights
    return known


def fetched(folder: Path, *more: str) -> int:
    return main(["fetch", "scale-mae", "--to", str(folder), *more])


def nothing_is_left(folder: Path) -> bool:
    return not folder.exists() or list(folder.iterdir()) == []


def test_a_file_is_fetched_checked_and_recorded(
    server: Served, release: Release, weights: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetched(tmp_path / "new" / "folder", "--json") == OK
    target = tmp_path / "new" / "folder" / release.file
    assert target.read_bytes() == weights
    assert not part_of(target).exists()
    assert target.with_name("scalemae.pth.sha256").read_text() == f"{release.sha256}  scalemae.pth\n"
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["official"] is True
    assert result["sha256"] == release.sha256
    assert "CC-BY-NC-4.0" in result["licence"]
    assert "scalemae.pth is Scale-MAE with its decoder" in err
    assert "non-commercial" in err


def test_an_existing_file_is_checked_and_not_fetched_again(
    server: Served, release: Release, weights: bytes, tmp_path: Path
) -> None:
    (tmp_path / release.file).write_bytes(weights)
    assert fetched(tmp_path) == OK
    assert server.asked == []


def test_a_broken_connection_resumes(
    server: Served, release: Release, weights: bytes, tmp_path: Path
) -> None:
    server.cut_after = [1000, 5000]
    assert fetched(tmp_path) == OK
    assert [asked for _, asked in server.asked] == ["", "bytes=1000-", "bytes=6000-"]
    assert (tmp_path / release.file).read_bytes() == weights


def test_a_later_run_resumes_where_the_first_stopped(
    server: Served, release: Release, weights: bytes, tmp_path: Path
) -> None:
    server.cut_after = [1000, 1000, 1000]
    assert fetched(tmp_path) == BAD_INPUT
    assert part_of(tmp_path / release.file).stat().st_size == 3000
    assert not (tmp_path / release.file).exists()
    assert fetched(tmp_path) == OK
    assert server.asked[-1] == ("/first.pth", "bytes=3000-")


def test_a_server_without_ranges_starts_over(
    server: Served, release: Release, weights: bytes, tmp_path: Path
) -> None:
    server.ranges, server.cut_after = False, [1000]
    assert fetched(tmp_path) == OK
    assert (tmp_path / release.file).read_bytes() == weights


def test_the_bytes_of_the_file_are_stored_as_sent(
    server: Served, release: Release, weights: bytes, tmp_path: Path
) -> None:
    server.encoding = "gzip"  # as servers label archives; the file itself is meant
    assert fetched(tmp_path) == OK
    assert (tmp_path / release.file).read_bytes() == weights


def test_a_part_longer_than_the_file_starts_over(
    server: Served, release: Release, weights: bytes, tmp_path: Path
) -> None:
    part_of(tmp_path / release.file).write_bytes(bytes(len(weights) + 1))
    assert fetched(tmp_path) == OK
    assert (tmp_path / release.file).read_bytes() == weights


def test_a_mirror_is_used_if_the_first_address_fails(
    server: Served, release: Release, weights: bytes, tmp_path: Path
) -> None:
    server.content = {"/mirror.pth": weights}
    assert fetched(tmp_path) == OK
    assert [path for path, _ in server.asked] == ["/first.pth", "/mirror.pth"]


def test_ctrl_c_keeps_what_has_arrived(
    server: Served,
    release: Release,
    weights: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "PIECE_BYTES", 4096)
    with monkeypatch.context() as patch:
        patch.setattr(fetch._ProgressLine, "__call__", interrupted)
        assert fetched(tmp_path) == CANCELLED
    assert "the same command resumes" in capsys.readouterr().err
    assert 0 < part_of(tmp_path / release.file).stat().st_size < len(weights)
    assert fetched(tmp_path) == OK
    assert server.asked[-1][1].startswith("bytes=")


def spoil_page(served: Served) -> None:
    served.content = dict.fromkeys(("/first.pth", "/mirror.pth"), b"<!doctype html>please log in" * 40)


def spoil_other_network(served: Served) -> None:
    import io

    held = io.BytesIO()
    sizes = {
        "img_size": 32,
        "embed_dim": 64,
        "depth": 1,
        "num_heads": 1,
        "decoder_embed_dim": 32,
        "decoder_depth": 1,
        "decoder_num_heads": 1,
    }
    torch.save(create("mae", **sizes).state_dict(), held)
    served.content = dict.fromkeys(("/first.pth", "/mirror.pth"), held.getvalue())


def spoil_half(served: Served) -> None:
    served.content = dict.fromkeys(("/first.pth", "/mirror.pth"), served.content["/first.pth"][:9000])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(spoil_page, "web page"), (spoil_other_network, "another network"), (spoil_half, "truncated")],
)
def test_a_file_other_than_the_published_one_is_deleted(
    server: Served,
    release: Release,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Served], None],
    message: str,
) -> None:
    spoil(server)
    assert fetched(tmp_path) == BAD_INPUT
    err = capsys.readouterr().err
    assert message in err
    assert "By hand:" in err
    assert nothing_is_left(tmp_path)


def test_another_hash_with_the_right_tensors_is_kept_and_reported(
    server: Served,
    release: Release,
    weights: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(releases.RELEASES, "scale-mae", replace(release, sha256="0" * 64))
    assert fetched(tmp_path, "--json") == OK
    out, err = capsys.readouterr()
    assert json.loads(out)["official"] is False
    assert f"{release.sha256} is not the one known" in err


def test_a_wrong_file_put_there_by_hand_is_named_and_left_alone(
    server: Served, release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / release.file).write_text("not weights")
    assert fetched(tmp_path) == BAD_INPUT
    assert "remove the file" in capsys.readouterr().err
    assert (tmp_path / release.file).read_text() == "not weights"


def refuse_more_than_fits(served: Served, patch: pytest.MonkeyPatch) -> None:
    served.lie_about_length = 10**12


def fill_the_disk(served: Served, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(downloading.shutil, "disk_usage", lambda _: Namespace(free=10))


def stall(served: Served, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fetch, "TIMEOUT_S", 0.2)
    patch.setattr(downloading, "TRIES", 1)
    served.cut_after, served.stall, served.content["/mirror.pth"] = (
        [100, 100],
        True,
        served.content["/first.pth"],
    )


def redirect_to_ftp(served: Served, patch: pytest.MonkeyPatch) -> None:
    served.redirect_to = "ftp://example.org/astray.pth"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (refuse_more_than_fits, "more than this file has"),
        (fill_the_disk, "free some space"),
        (stall, "does not answer in time"),
        (lambda served, _: served.content.clear(), "no file at this address (404)"),
        (redirect_to_ftp, "'ftp://example.org/astray.pth' cannot be opened"),
    ],
    ids=["endless", "full disk", "stall", "not found", "astray"],
)
def test_failures_of_the_server_are_explained(
    server: Served,
    release: Release,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Served, pytest.MonkeyPatch], None],
    message: str,
) -> None:
    spoil(server, monkeypatch)
    assert fetched(tmp_path) == BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert (
        "Traceback" not in err.split("core: ")[-1]
    )  # what other tests left to the collector may complain before our sentence
    assert not (tmp_path / release.file).exists()


def test_without_internet_the_manual_download_is_explained(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        releases.RELEASES,
        "scale-mae",
        replace(release, urls=("https://127.0.0.1:9/gone.pth", "ftp://127.0.0.1/x", "http://example.org/x")),
    )
    monkeypatch.delenv(LOCAL_SWITCH)
    assert fetched(tmp_path) == BAD_INPUT
    err = capsys.readouterr().err
    for part in (
        "https://127.0.0.1:9/gone.pth",
        "in a private network",
        str(tmp_path),
        release.file,
        "cannot be opened",
        "give this command again",
    ):
        assert part in err


def test_an_unknown_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "scale-mae-huge", "--to", str(tmp_path)]) == BAD_INPUT
    assert "choose one of scale-mae, scale-mae-torchgeo, efficientnet_lite0" in capsys.readouterr().err


def test_a_folder_that_cannot_be_created(
    server: Served, release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert fetched(tmp_path / "file" / "folder") == BAD_INPUT
    assert "choose another folder" in capsys.readouterr().err


def test_published_releases_are_well_formed() -> None:
    for release in releases.RELEASES.values():
        assert all(url.startswith("https://") and url.endswith(release.file) for url in release.urls)
        assert len(release.sha256) == 64
        assert release.size_bytes > 1e9
        assert "non-commercial" in release.licence
