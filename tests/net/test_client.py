"""The web client: refused while online access is off, safe from private addresses, clear about failures."""

import contextlib
import socket

import pytest

from core.net import online
from core.net.client import RequestLimits, Web
from core.net.online import OnlineError


def sentence(caught):
    message = str(caught.value)
    assert message.endswith(".")
    return message


@pytest.fixture
def web(server):
    return Web(
        limits=RequestLimits(connect_s=2, wait_s=0.5, whole_s=0.4, json_bytes=2**20, picture_bytes=2**20)
    )


def test_no_client_while_online_access_is_off(monkeypatch):
    monkeypatch.delenv(online.SWITCH, raising=False)
    with pytest.raises(OnlineError, match="EARTH_MAE_ONLINE=1"):
        Web()
    assert not online.is_on()
    assert online.is_on(asked=True)
    monkeypatch.setenv(online.SWITCH, "0")
    assert not online.is_on()


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/a.tif", "ftp://example.org/a", "file:///etc/passwd", "https://",
        "//example.org/a", "gopher://x/",
        "https://user:secret@example.org/a", "https://localhost/a", "https://LOCALHOST:8443/a",
        "https://127.0.0.1/a", "https://[::1]/a",
        "https://10.0.0.8/a", "https://169.254.169.254/latest/meta-data", "https://[::ffff:127.0.0.1]/a",
        "https://0.0.0.0/a", "https://a:99999999/x",
        "https://exa mple.org/", "https://example.org/\r\nX: y", "https://100.64.0.1/",
        "https://[fe80::1%25eth0]/", "https://x.localhost/",
    ],
)  # fmt: skip
def test_a_forbidden_address_is_refused_before_connecting(address, monkeypatch):
    monkeypatch.delenv(online.LOCAL_SWITCH, raising=False)
    dialled = []
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: dialled.append(a))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: dialled.append(a))
    with pytest.raises(OnlineError) as caught:
        Web(asked=True).part(address, 0, 10)
    assert "secret" not in sentence(caught)
    assert not dialled


def test_a_name_that_resolves_to_a_private_address_is_dropped_before_sending(monkeypatch):
    monkeypatch.delenv(online.LOCAL_SWITCH, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(2)
        port = listening.getsockname()[1]
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: found)
        with pytest.raises(OnlineError, match="in a private network"):
            Web(asked=True).json(f"https://rebound.example.org:{port}/")
        reached, _ = listening.accept()
        reached.settimeout(2)
        assert reached.recv(100) == b""  # closed, not even a greeting


def test_a_redirect_is_checked_like_any_address(server, monkeypatch):
    web = Web()
    assert web.part(f"{server.base}/to/?address={server.base}/cog/visual.tif", 0, 4).data == b"II*\0"
    for to in ("file:///etc/passwd", "ftp://example.org/a", "https://u:p@example.org/"):
        with pytest.raises(OnlineError, match=r"cannot be opened|user name"):
            web.part(f"{server.base}/to/?address={to}", 0, 4)
    with pytest.raises(OnlineError, match="too many times"):
        web.json(f"{server.base}/round")


def test_a_byte_range_comes_with_the_size_of_the_file(server):
    whole = server.service.files["visual.tif"]
    part = Web().part(f"{server.base}/cog/visual.tif", 1000, 50)
    assert (part.data, part.total, part.tag) == (whole[1000:1050], len(whole), '"one"')
    assert len(Web().part(f"{server.base}/cog/visual.tif", len(whole) - 10, 50).data) == 10


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/signed/visual.tif?sig=old", "expired or needs a signature"),
        ("/cog/none.tif", "no file at this address"),
        ("/whole/visual.tif", "does not support range requests"),
        ("/html", "web page"),
        ("/other-part/x.tif", "a different part"),
        ("/slow", "does not answer in time"),
    ],
)
def test_a_failed_range_request_is_explained(web, server, path, message):
    with pytest.raises(OnlineError, match=message) as caught:
        web.part(f"{server.base}{path}", 0, 1000)
    assert "127.0.0.1" in sentence(caught)
    assert "sig=" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/html", "web page"),
        ("/nothing", "instead of JSON"),
        ("/bomb", "more than the allowed 1.0 MB"),
        ("/slow", "in time"),
        ("/drip", "too slow"),
    ],
)
def test_a_response_that_is_not_json_too_long_or_too_slow_is_explained(web, server, path, message):
    with pytest.raises(OnlineError, match=message) as caught:
        web.json(f"{server.base}{path}")
    sentence(caught)


def test_deeply_nested_json_is_refused(web, server, monkeypatch):
    monkeypatch.setattr(Web, "_whole", lambda *_: b"[" * 100_000)
    with pytest.raises(OnlineError, match="instead of JSON"):
        web.json(f"{server.base}/nothing")


def test_a_busy_server_is_retried_once(server):
    assert Web().part(f"{server.base}/busy/visual.tif", 0, 4).data == b"II*\0"
    assert server.service.busy == 2


def test_an_unreachable_server_is_explained(server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(OnlineError, match="cannot be reached"):
        Web().json(f"http://127.0.0.1:{port}/")


def test_a_proxy_from_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Web().json("http://catalogue.invalid/items/clear.json")["id"] == "clear"
    monkeypatch.delenv("http_proxy")
    with pytest.raises(OnlineError, match="cannot be reached"):
        Web().json("http://catalogue.invalid/items/clear.json")


def test_an_invalid_certificate_is_refused(server, tmp_path):
    import ssl
    import subprocess
    import threading

    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        tmp_path / "k",
        "-out",
        tmp_path / "c",
        "-subj",
        "/CN=x",
    ]
    try:
        subprocess.run([str(part) for part in made], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("openssl is not here to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet():
            for _ in range(2):
                with contextlib.suppress(OSError):
                    context.wrap_socket(listening.accept()[0], server_side=True).close()

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(OnlineError, match="certificate"):
            Web().json(f"https://127.0.0.1:{listening.getsockname()[1]}/")
