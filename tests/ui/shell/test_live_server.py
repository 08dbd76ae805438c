"""A real server with a password, as `make app HOST=0.0.0.0` starts it: access, and outgoing connections."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import streamlit
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from benchmarks._visitor import XSRF, Visitor
from tests.conftest import ROOT
from ui.shell import permissions
from ui.shell.login import COOKIE
from ui.shell.upload_quota import MAX_BYTES

PASSWORD = "a password of the owner"
START_S = 120
STRACE = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]
TO = re.compile(
    r"(connect|sendto|sendmsg|sendmmsg)\(.*?sa_family=(AF_INET6?).*?"
    r"(?:inet_addr\(\"([^\"]+)\"\)|inet_pton\(AF_INET6, \"([^\"]+)\"\))"
)


@dataclass(frozen=True)
class Server:
    port: int
    trace: Path | None


def outgoing_addresses(trace: Path) -> set[str]:
    """The addresses outside this machine that a traced process contacted."""
    found = {match[3] or match[4] for match in TO.finditer(trace.read_text(errors="replace"))}
    return {
        address
        for address in found
        if not address.startswith("127.") and address not in ("::1", "0.0.0.0", "::")
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    traced = traceable()
    trace = folder / "trace.txt" if traced else None
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "serve.py",
        f"--server.port={port}",
        "--server.address=0.0.0.0",
        "--server.headless=true",
    ]
    environment = {
        **os.environ,
        "EARTH_MAE_JOBS": str(folder / "jobs"),
        "EARTH_MAE_RUNS": str(folder / "runs"),
        permissions.PASSWORD_VARIABLE: PASSWORD,
        "OMP_NUM_THREADS": "1",
    }
    with (folder / "log.txt").open("wb") as log:
        traced_command = [*STRACE, str(trace), *command] if trace else command
        process = subprocess.Popen(
            traced_command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            await_health(process, port, folder / "log.txt")
            yield Server(port, trace)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # strace and the server
            process.wait(60)


def traceable() -> bool:
    """Whether strace is installed and permitted."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-f", "--seccomp-bpf", "true"], capture_output=True).returncode == 0
    )


def await_health(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"The server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def knock(port: int, **headers: str) -> int:
    """Open a websocket as a page of any site could; return the status."""
    host = headers.pop("Host", f"127.0.0.1:{port}")
    link = socket.create_connection(("127.0.0.1", port), timeout=30)
    try:
        with connect(
            f"ws://{host}/_stcore/stream", sock=link, additional_headers=headers, subprotocols=["streamlit"]
        ):  # pyright: ignore
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def logged_in(port: int) -> dict[str, str]:
    """The cookies of a logged-in browser."""
    browser = Visitor.__new__(Visitor)
    browser.port, browser.cookies, browser.wait_s = port, {}, 60
    status, _ = browser.request(
        "POST",
        "/login",
        f"password={PASSWORD.replace(' ', '+')}",
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert status == 303
    return browser.cookies


def test_nothing_is_served_without_login(server: Server) -> None:
    stranger = Visitor.__new__(Visitor)
    stranger.port, stranger.cookies, stranger.wait_s = server.port, {}, 60
    page = Path(streamlit.__file__).parent / "static/index.html"
    script = re.search(rb'src="\.?(/static/[^"]+\.js)"', page.read_bytes())
    assert script
    for path in ("/", script[1].decode(), "/_stcore/host-config", "/points/x", "/pictures/x/1.jpg"):
        assert stranger.request("GET", path)[0] == 401, path
    assert stranger.request("GET", "/_stcore/health")[0] == 200
    assert knock(server.port) == 403

    with Visitor(server.port, cookies=logged_in(server.port)) as visitor:
        assert visitor.request("GET", script[1].decode())[0] == 200
        visitor.run()
        assert visitor.said() == ""
        assert any(
            "Masked autoencoder" in one.body or "masked autoencoder" in one.body
            for one in visitor.all("markdown")
        )


def test_foreign_hosts_and_origins_are_refused(server: Server) -> None:
    cookie = f"{COOKIE}={logged_in(server.port)[COOKIE]}"
    own = f"127.0.0.1:{server.port}"
    assert knock(server.port, Cookie=cookie, Origin=f"http://{own}") == 101
    assert knock(server.port, Cookie=cookie, Host="evil.example", Origin="http://evil.example") == 403
    assert knock(server.port, Cookie=cookie, Origin="http://evil.example") == 403
    browser = Visitor.__new__(Visitor)
    browser.port, browser.cookies, browser.wait_s = server.port, logged_in(server.port), 60
    assert browser.request("GET", "/", host="evil.example")[0] == 421
    assert browser.request("GET", "/_stcore/health", headers={"Origin": "http://evil.example"})[0] == 403


def announce(visitor: Visitor, file_id: str, size_bytes: int) -> http.client.HTTPConnection:
    """Announce an upload of this size, as a page does, without sending its bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=2)
    connection.putrequest("PUT", f"/_stcore/upload_file/{visitor.session_id}/{file_id}")
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    for header, value in {
        "Content-Type": "multipart/form-data; boundary=line",
        "Content-Length": str(size_bytes),
        "X-Xsrftoken": visitor.cookies.get(XSRF, ""),
        "Cookie": cookies,
    }.items():
        connection.putheader(header, value)
    connection.endheaders()
    return connection


def test_uploads_are_limited_and_visitors_cannot_clear_caches(server: Server) -> None:
    size = MAX_BYTES * 3 // 8
    with Visitor(server.port, cookies=logged_in(server.port)) as visitor, ExitStack() as open_uploads:
        visitor.run()
        assert visitor.put("small-1", "x.bin", bytes(1000)) == 204
        for file_id in ("first", "second"):
            open_uploads.callback(announce(visitor, file_id, size).close)
        status, deadline = None, time.monotonic() + 60
        while status is None and time.monotonic() < deadline:
            third = announce(visitor, "third", size)
            try:
                status = third.getresponse().status
            except TimeoutError:  # admitted, because the server has not yet seen the first two
                third.close()
        assert status == 413
        assert visitor.put("small-2", "x.bin", bytes(1000)) == 204
        visitor.tell(BackMsg(clear_cache=True))  # dropped: the page still works
        assert visitor.run() < 60


def test_trace_shows_outgoing_connections(tmp_path: Path) -> None:
    if not traceable():
        pytest.skip("strace is missing or not permitted")
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('8.8.8.8', 1))"
    trace = tmp_path / "trace.txt"
    subprocess.run([*STRACE, str(trace), sys.executable, "-c", program], capture_output=True)
    assert outgoing_addresses(trace) == {"8.8.8.8"}


def test_server_makes_no_outgoing_connections(server: Server) -> None:
    """Last test of this file, so the trace includes all the others."""
    if server.trace is None:
        pytest.skip("strace is missing or not permitted")
    for origin in ("http://evil.example", "https://203.0.113.5", "null"):
        knock(server.port, Origin=origin)
    time.sleep(2)  # Streamlit would ask a service for this machine's address now
    assert server.trace.is_file()
    assert outgoing_addresses(server.trace) == set()
