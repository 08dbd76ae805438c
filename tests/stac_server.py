"""A local STAC API and server of cloud-optimised GeoTIFFs that misbehaves on some paths and counts bytes.

Run it alone to look at the page by hand: `python tests/stac_server.py PORT`.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.shutil import copy

from core.geo.sources.samples import sample_folder

WEST, SOUTH, EAST, NORTH = -112.909, 40.607, -112.508, 41.005
SCENES = (
    ("clear", "2024-06-11T18:20:00Z", 1.5),
    ("hazy", "2024-07-01T18:20:00Z", 12.0),
    ("cloudy", "2024-07-11T18:20:00Z", 80.0),
)


def cog(pixels: np.ndarray, like: dict, **options: object) -> bytes:
    """Write (c, h, w) as a COG in memory."""
    profile = {
        **like,
        "driver": "GTiff",
        "count": len(pixels),
        "dtype": pixels.dtype,
        "height": pixels.shape[1],
        "width": pixels.shape[2],
    }
    with MemoryFile() as plain, MemoryFile() as made:
        with plain.open(
            **{
                k: v
                for k, v in profile.items()
                if k in ("driver", "count", "dtype", "height", "width", "crs", "transform", "nodata")
            }
        ) as to:
            to.write(pixels)
        with plain.open() as file:
            copy(
                file,
                made.name,
                driver="COG",
                **{"compress": "deflate", "blocksize": 128, "overviews": "AUTO", **options},
            )
        return made.read()


@dataclass
class Sent:
    """A request and the bytes that it cost."""

    method: str
    path: str
    part: str
    bytes: int


@dataclass
class Service:
    """The server's files and its log."""

    sent: list[Sent] = field(default_factory=list)
    questions: list[dict] = field(default_factory=list)
    busy: int = 0
    expired: bool = True
    raster: str = "cog/visual.tif"
    scenes: tuple[tuple[str, str, float], ...] = SCENES

    def forget(self) -> None:
        """Empty the log."""
        self.sent.clear()
        self.questions.clear()
        self.busy, self.expired, self.raster = 0, True, "cog/visual.tif"

    @cached_property
    def pixels(self) -> tuple[np.ndarray, dict]:
        """The Landsat scene of Utah that comes with localtileserver, as (7, h, w), and its profile."""
        folder = sample_folder()
        assert folder is not None
        with rasterio.open(folder / "landsat.tif") as file:
            return file.read(), dict(file.profile)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Every raster by name, each COG as its tool writes it."""
        pixels, like = self.pixels
        visual = cog(pixels[[2, 1, 0]], like)
        deep = cog(pixels[[2, 1, 0]].astype(np.uint16) * 40, like)
        return {
            "visual.tif": visual,
            "changed.tif": cog(self._changed(pixels[[2, 1, 0]]), like),
            "deep.tif": deep,
            "strips.tif": self._striped(),
            "huge.tif": self._huge(),
            "cut.tif": visual[: len(visual) // 2],
        }

    @staticmethod
    def _changed(pixels: np.ndarray) -> np.ndarray:
        """The scene of another day, with noise in its middle."""
        later = pixels.copy()
        middle = later[:, 480:960, 480:960]
        middle[:] = np.random.default_rng(0).integers(0, 256, middle.shape)
        return later

    def _striped(self) -> bytes:
        pixels, like = self.pixels
        with MemoryFile() as file:
            with file.open(
                driver="GTiff",
                count=1,
                dtype="uint8",
                height=1482,
                width=1489,
                crs=like["crs"],
                transform=like["transform"],
            ) as to:
                to.write(pixels[:1])
            return file.read()

    @staticmethod
    def _huge() -> bytes:
        options = {
            "driver": "GTiff",
            "width": 2_000_000,
            "height": 2_000_000,
            "count": 1,
            "dtype": "uint8",
            "compress": "deflate",
        }
        with MemoryFile() as file:
            with file.open(
                **options, tiled=True, blockxsize=16384, blockysize=16384, sparse_ok=True, bigtiff="YES"
            ):
                pass
            return file.read()

    @cached_property
    def preview(self) -> bytes:
        """A small JPEG of the scene."""
        from PIL import Image

        pixels, _ = self.pixels
        to = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels[[2, 1, 0], ::6, ::6].transpose(1, 2, 0))).save(to, "JPEG")
        return to.getvalue()

    def item(self, base: str, name: str, when: str, cloud: float, query: str = "") -> dict:
        """A STAC item like those of Earth Search, with its extensions."""
        tiff = "image/tiff; application=geotiff; profile=cloud-optimized"
        ring = [[WEST, SOUTH], [EAST, SOUTH], [EAST, NORTH], [WEST, NORTH], [WEST, SOUTH]]
        return {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a",
            "bbox": [WEST, SOUTH, EAST, NORTH],
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"datetime": when, "eo:cloud_cover": cloud},
            "links": [{"rel": "self", "href": f"{base}/items/{name}.json"}],
            "assets": {
                "thumbnail": {"href": f"{base}/thumb/{name}.jpg", "type": "image/jpeg",
                "roles": ["thumbnail"]},
                "red": {"href": f"{base}/cog/deep.tif{query}", "type": tiff, "roles": ["data"], "gsd": 30},
                "visual": {"href": f"../{self.raster}{query}", "type": tiff, "roles": ["visual"], "gsd": 30},
                "granule": {"href": "s3://bucket/granule.jp2", "type": "image/jp2"},
            },
        }  # fmt: skip

    def search(self, base: str, asked: dict) -> dict:
        """Answer a search: by place, dates and cloud, sorted, page by page."""
        lon, lat = asked["intersects"]["coordinates"]
        first, last = (text[:10] for text in asked["datetime"].split("/"))
        most = asked.get("query", {}).get("eo:cloud_cover", {}).get("lte", 100)
        here = WEST <= lon <= EAST and SOUTH <= lat <= NORTH
        found = [s for s in self.scenes if here and first <= s[1][:10] <= last and s[2] <= most]
        if asked.get("sortby"):
            found.sort(key=lambda s: s[2])
        start = int(asked.get("token", 0))
        page = [self.item(base, *scene) for scene in found[start : start + 2]]
        links = [
            {
                "rel": "next",
                "method": "POST",
                "href": f"{base}/v1/search",
                "merge": True,
                "body": {"token": start + 2},
            }
        ]
        return {
            "type": "FeatureCollection",
            "features": page,
            "links": links if start + 2 < len(found) else [],
        }


class Handler(BaseHTTPRequestHandler):
    """One path, one kind of behaviour."""

    protocol_version = "HTTP/1.1"
    service: Service

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    @property
    def base(self) -> str:
        """The address of this server."""
        return f"http://{self.headers['Host']}"

    def do_POST(self) -> None:
        """Answer a STAC search."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.service.questions.append(asked)
        if self.path == "/v1/search":
            self.send(json.dumps(self.service.search(self.base, asked)).encode(), "application/geo+json")
        elif self.path == "/plain/search":
            refused = "query" in asked or "sortby" in asked
            body = {"code": "BadRequest"} if refused else self.service.search(self.base, asked)
            self.send(json.dumps(body).encode(), "application/json", 400 if refused else 200)
        elif self.path == "/odd/search":
            self.send(
                b'{"type": "FeatureCollection", '
                b'"features": [{"type": "Feature", "assets": 7}, 3, {"id": []}], '
                b'"links": [{"rel": "x"}]}',
                "x",
            )
        elif self.path == "/endless/search":
            page = self.service.search(self.base, asked)
            page["features"], page["links"] = (
                [{"type": "Feature"}],
                [{"rel": "next", "href": f"{self.base}/endless/search", "method": "POST", "merge": True}],
            )
            self.send(json.dumps(page).encode(), "application/json")
        else:
            self.do_GET()

    def do_GET(self) -> None:
        """Send a file, or misbehave as the path says."""
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        name = path.rsplit("/", 1)[-1]
        if path.startswith("/cog/") and name in self.service.files:
            self.file(self.service.files[name])
        elif path.startswith("/signed/"):
            self.file(self.service.files[name]) if query.get("sig") == ["good"] else self.send(
                b"<?xml version='1.0'?><Error/>", "text/xml", 403
            )
        elif path.startswith("/items/"):
            scene = next((s for s in self.service.scenes if f"{s[0]}.json" == name), None)
            self.send(
                json.dumps(self.service.item(self.base, *scene)).encode(), "application/json"
            ) if scene else self.send(b"", "x", 404)
        elif path == "/list.json":
            items = [
                self.service.item(self.base, *scene, query="?sig=secret") for scene in self.service.scenes
            ]
            self.send(
                json.dumps({"type": "FeatureCollection", "features": items}).encode(), "application/json"
            )
        elif path.startswith("/thumb/"):
            self.send(self.service.preview, "image/jpeg")
        elif path.startswith("/whole/"):
            self.send(self.service.files[name], "image/tiff")
        elif path.startswith("/html"):
            page = b"<!DOCTYPE html><html><body>Please sign in</body></html>" + b" " * 70_000
            self.file(page) if name == "part.tif" else self.send(page, "text/html")
        elif path.startswith("/slow"):
            time.sleep(3)
            self.send(b"{}", "application/json")
        elif path.startswith("/drip"):
            self.drip()
        elif path.startswith("/busy"):
            self.service.busy += 1
            self.file(self.service.files[name]) if self.service.busy > 1 else self.send(b"", "x", 503)
        elif path.startswith("/to/"):
            self.redirect(query["address"][0])
        elif path.startswith("/round"):
            self.redirect("/round")
        elif path.startswith("/other-part/"):
            self.send(
                self.service.files["visual.tif"][:1000],
                "image/tiff",
                206,
                {"Content-Range": "bytes 500-1499/900000"},
            )
        elif path.startswith("/changing/"):
            self.file(self.service.files["visual.tif"], tag=f'"{time.monotonic()}"')
        elif path.startswith("/fails-later/"):
            late = self.service.expired and self.headers.get("Range", "").removeprefix("bytes=").split("-")[
                0
            ] not in ("0", "")
            self.send(b"", "x", 403) if late else self.file(self.service.files["visual.tif"])
        elif path.startswith("/bomb"):
            self.send(b"[" + b" " * 40_000_000 + b"]", "application/json")
        elif path.startswith("/nothing"):
            self.send(b"", "application/json")
        else:
            self.send(b"not here", "text/plain", 404)

    def file(self, data: bytes, tag: str = '"one"') -> None:
        """Send the requested range of a file, or all of it."""
        span = self.headers.get("Range", "")
        if not span:
            self.send(data, "image/tiff")
            return
        first, last = (int(n) for n in span.removeprefix("bytes=").split("-"))
        piece = data[first : last + 1]
        self.send(
            piece,
            "image/tiff",
            206,
            {"Content-Range": f"bytes {first}-{first + len(piece) - 1}/{len(data)}", "ETag": tag},
        )

    def redirect(self, to: str) -> None:
        """Send a redirect."""
        self.send(b"", "x", 302, {"Location": to})

    def drip(self) -> None:
        """Send one byte at a time, slowly."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b" ")
            time.sleep(0.05)

    def send(self, body: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer and log it."""
        self.service.sent.append(Sent(self.command, self.path, self.headers.get("Range", ""), len(body)))
        try:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass


class Server:
    """Runs the service on a local port in threads; `recent` scenes are from the last months."""

    def __init__(self, port: int = 0, *, recent: bool = False) -> None:
        today = datetime.now(UTC)
        late = tuple(
            (name, f"{today - timedelta(days=30 * n + 10):%Y-%m-%dT10:00:00Z}", cloud)
            for n, (name, _, cloud) in enumerate(SCENES)
        )
        self.service = Service(scenes=late if recent else SCENES)
        self._http = ThreadingHTTPServer(
            ("127.0.0.1", port), type("Bound", (Handler,), {"service": self.service})
        )
        self._http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()

    def bytes_sent(self) -> int:
        """Bytes sent so far."""
        return sum(one.bytes for one in self.service.sent)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print(Server(int(sys.argv[1]), recent=True).base, flush=True)
    threading.Event().wait()
