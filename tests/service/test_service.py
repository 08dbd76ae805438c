"""The HTTP service: a real local server, and the single-file client."""

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import ExitStack

import numpy as np
import pytest
import uvicorn
from PIL import Image

from core.atlas import open_table
from core.cli.entry import main
from core.engine.embedding.spec import EmbeddingSpec
from core.engine.loaded import load
from core.masking import MaskSpec
from core.service import door, requests
from core.service.app import Settings, create_app
from core.service.client import Client, ServiceError
from tests.engine.embedding.runs import finish, picture, write

MODEL, TOKEN = "scale_contrast_tiny", "a-token-of-some-length"


class Service:
    """A service on a free port, stopped by `close`."""

    def __init__(self, settings: Settings) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.socket]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.client = Client(self.address, settings.token)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write(tmp_path_factory.mktemp("scene") / "scene.tif", picture(240, 240))


@pytest.fixture(scope="module")
def table(scene, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "table"
    finish(EmbeddingSpec((scene,), str(out), MODEL, tile_px=64))
    return open_table(out)


@pytest.fixture(scope="module")
def service(table):
    running = Service(Settings(token=TOKEN, names=door.LOOPBACK, max_mb=2, table=table))
    yield running
    running.close()


def answer(address, headers=None, data=None):
    """Status, headers and JSON of a plain request."""
    request = urllib.request.Request(address, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as got:
            return got.status, got.headers, got.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_a_reconstruction_is_that_of_the_library(service, scene):
    from core.engine.inputs import read_ground
    from core.engine.reconstruct import reconstruct
    from core.geo import TileSpec, open_source
    from core.judge import judge

    got = service.client.reconstruct(scene, mask="block-50-s1", model="mae_tiny")
    source = open_source(scene)
    tile = read_ground(source.read, TileSpec(source.ref()), 112)
    own = reconstruct(load("mae_tiny"), tile, MaskSpec("block", ratio=0.5, seed=1))
    assert got["recipe"]["mask"] == own.recipe.mask
    assert got["metrics"]["model"]["psnr"] == pytest.approx(judge(own).model.psnr, abs=1e-3)
    assert {"visible_mean", "nearest", "harmonic"} <= set(got["metrics"])


def test_a_reconstruction_comes_as_a_geotiff_or_as_pictures(service, scene):
    import rasterio

    options = {"model": "mae_tiny", "window": "0,0,112,112"}
    with rasterio.MemoryFile(service.client.reconstruct(scene, format="geotiff", **options)) as file:
        raster = file.open()
        assert raster.count == 10 and raster.crs.to_epsg() == 32633
    with zipfile.ZipFile(io.BytesIO(service.client.reconstruct(scene, format="zip", **options))) as pictures:
        assert "recipe.json" in pictures.namelist()


def test_vectors_are_those_of_the_library(service, scene, table):
    from core.engine.embed import embed
    from core.engine.inputs import feed
    from core.geo import TileSpec, open_source

    source = open_source(scene)
    fed = feed(source.read(TileSpec(source.ref())), 64)
    own = embed(load(MODEL), fed.unit[None], gsd_m=fed.tile.gsd)
    got = service.client.embed([scene, scene], model=MODEL)
    assert got.shape == (2, own.shape[1]) and got.dtype == np.float32
    np.testing.assert_allclose(got, np.repeat(own, 2, axis=0), atol=1e-5)


def test_waiting_embeddings_of_different_clients_share_the_network(service, scene, monkeypatch):
    from core.engine import in_turn
    from core.engine.device import device
    from core.engine.turns import turns

    batches = []

    def counted(model, images, **options):
        batches.append(len(images))
        return plain(model, images, **options)

    plain = in_turn.embed
    monkeypatch.setattr(in_turn, "embed", counted)
    queue, got = turns(device().kind), []
    clients = [
        threading.Thread(target=lambda: got.append(service.client.embed([scene], model=MODEL)))
        for _ in range(6)
    ]
    with ExitStack() as busy:  # the device is busy until all six wait
        for _ in range(queue.at_once):
            busy.enter_context(queue.turn())
        for each in clients:
            each.start()
        while queue.waiting() < queue.at_once + 6:
            time.sleep(0.01)
    for each in clients:
        each.join(30)
    assert len(got) == 6 and batches == [6]


def test_search_by_image_row_and_place(service, scene, table):
    by_row = service.client.search(row="0", k=2)
    assert len(by_row["neighbors"]) == 2 and by_row["neighbors"][0]["row"] != 0
    first = table.columns.slice(0, 1).to_pylist()[0]
    place = service.client.search(lon=first["centre_lon"], lat=first["centre_lat"], k=2)
    assert place["query"] == [0] and place["neighbors"] == by_row["neighbors"]
    image = service.client.search(scene, k=3)
    assert len(image["neighbors"]) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask": "starfish"}, "starfish"),
        ({"model": "../../etc/passwd"}, "There is no model"),
        ({"model": "timm:vit_tiny_patch16_224"}, "There is no model"),
        ({"model": "mae_large"}, "There is no model"),
        ({"policy": "nonsense"}, "nonsense"),
        ({"size_px": 100_000}, "size_px"),
        ({"gsd_m": "nan"}, "gsd_m"),
        ({"window": "1,2,3"}, "must be column,row,width,height"),
        ({"window": "0,0,9,999999999"}, "window"),
        ({"mask": "random-0"}, "nothing to score"),
    ],
)
def test_invalid_options_are_reported(service, scene, options, sentence):
    with pytest.raises(ServiceError, match=sentence.replace(".", r"\.")) as refused:
        service.client.reconstruct(scene, **options)
    assert refused.value.status == 422
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"not an image", b"II*\0" + bytes(40)])
def test_invalid_images_are_reported(service, data):
    with pytest.raises(ServiceError) as refused:
        service.client.embed([data])
    assert refused.value.status == 422 and "\n" not in str(refused.value)


def test_an_image_larger_than_the_limit_is_refused_with_and_without_its_length(service):
    with pytest.raises(ServiceError, match="at most 2 MB") as refused:
        service.client.embed([bytes(3 * 2**20)])
    assert refused.value.status == 413
    head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    pieces = iter([head, *[bytes(2**18)] * 12, b"\r\n--x--\r\n"])  # sent in chunks, so the length is unknown
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "multipart/form-data; boundary=x"}
    status, _, body = answer(f"{service.address}/v1/embed", headers, pieces)
    assert (status, "at most 2 MB" in json.loads(body)["error"]) == (413, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
    ],
)
def test_only_holders_of_the_token_are_answered(service, headers, status):
    assert answer(f"{service.address}/v1/models", headers)[0] == status


def test_health_needs_no_token_and_metrics_count_requests(service):
    assert json.loads(answer(f"{service.address}/health")[2])["status"] == "ok"
    answer(f"{service.address}/no/such/path", {"Authorization": f"Bearer {TOKEN}"})
    text = answer(f"{service.address}/metrics", {"Authorization": f"Bearer {TOKEN}"})[2].decode()
    assert 'earth_mae_requests_total{path="/health",status="200"}' in text
    assert 'earth_mae_requests_total{path="other",status="404"}' in text
    assert "/no/such/path" not in text, "invented paths must not fill the memory"


def test_the_description_needs_no_internet(service):
    page = answer(f"{service.address}/docs", {"Authorization": f"Bearer {TOKEN}"})[2].decode()
    assert "http://" not in page and "https://" not in page
    paths = json.loads(answer(f"{service.address}/openapi.json", {"Authorization": f"Bearer {TOKEN}"})[2])
    assert {"/v1/reconstruct", "/v1/embed", "/v1/search", "/v1/models"} <= set(paths["paths"])


def test_a_client_above_its_rate_waits(scene):
    running = Service(Settings(per_minute=2))
    try:
        for _ in range(2):
            assert running.client.models()
        status, headers, body = answer(f"{running.address}/v1/models")
        assert status == 429 and 0 < int(headers["Retry-After"]) <= 30
        assert "wait" in json.loads(body)["error"]
    finally:
        running.close()


def test_a_service_without_a_table_says_how_to_get_one(scene):
    running = Service(Settings())
    try:
        with pytest.raises(ServiceError, match="start it with --table"):
            running.client.search(row="0")
    finally:
        running.close()


def test_a_full_queue_says_so(service, scene, monkeypatch):
    monkeypatch.setattr(requests, "MOST_WAITING", 0)
    with pytest.raises(ServiceError, match="waiting already") as refused:
        service.client.embed([scene], model=MODEL)
    assert refused.value.status == 503


def test_a_slow_body_is_dropped(service, monkeypatch):
    monkeypatch.setattr(door, "BODY_WAIT_S", 0.2)
    head = f"POST /v1/embed HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(service.socket.getsockname()) as slow:
        slow.sendall(
            (head + "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99\r\n\r\n").encode()
        )
        slow.settimeout(10)
        assert b"408" in slow.recv(4096)


def test_an_unexpected_failure_is_not_shown(service, scene, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a secret path")

    monkeypatch.setattr(requests, "embed", fail)
    with pytest.raises(ServiceError, match="its log says why") as failed:
        service.client.embed([scene])
    assert failed.value.status == 500


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://127.0.0.1:port", "nonsense"])
def test_an_address_without_a_service_is_reported(address):
    with pytest.raises(ServiceError, match="was not reached"):
        Client(address, timeout_s=2).models()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--host", "0.0.0.0"], "Set a token before"),
        (["--token-file", "/no/such/file"], "cannot be read"),
        (["--max-mb", "0"], "--max-mb"),
        (["--port", "70000"], "not available"),
    ],
)
def test_the_command_refuses_unsafe_and_impossible_options(options, sentence, capsys, monkeypatch):
    monkeypatch.delenv("EARTH_MAE_TOKEN", raising=False)
    assert main(["serve", *options]) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_says_that_a_port_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_a_short_token_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("EARTH_MAE_TOKEN", "short")
    assert main(["serve"]) == 2
    assert "at least 16 characters" in capsys.readouterr().err


def test_png_pictures_take_the_stated_gsd(service):
    content = io.BytesIO()
    Image.fromarray(np.moveaxis(picture(120, 120), 0, -1)).save(content, "PNG")
    recipe = service.client.reconstruct(content.getvalue(), gsd_m=5.0, model="scale_mae_tiny")["recipe"]
    assert recipe["native_gsd_m"] == pytest.approx(5.0)
