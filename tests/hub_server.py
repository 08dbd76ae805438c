"""A local stand-in for the Hugging Face hub: models are folders of files, and uploads are added to them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "1f" * 20


@dataclass
class StandIn:
    """Models as {name: {file: bytes}}, the requests received, and names that are gated or need a login."""

    address: str
    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    refuses_writing: bool = False
    failing: int = 0
    asked: list[str] = field(default_factory=list)


@contextmanager
def hub() -> Iterator[StandIn]:
    """Serve until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.stand_in = StandIn(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.stand_in  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> StandIn:
        return self.server.stand_in  # type: ignore[attr-defined]

    def do_HEAD(self) -> None:
        self._read(body=False)

    def do_GET(self) -> None:
        self._read(body=True)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"POST {path}")
        if self.hub.refuses_writing:
            return self._fail(403, "")
        if path == "/api/repos/create":
            request = json.loads(content)
            name = (
                f"{request['organization']}/{request['name']}"
                if request.get("organization")
                else request["name"]
            )
            self.hub.models.setdefault(name, {})
            return self._send(json.dumps({"url": f"{self.hub.address}/{name}"}).encode())
        if path == "/api/validate-yaml":
            return self._send(b"{}")
        if "/preupload/" in path:
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(content)["files"]
            ]
            return self._send(json.dumps({"files": files}).encode())
        if "/commit/" in path:
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in content.splitlines():
                request = json.loads(line)
                if request["key"] == "file":
                    self.hub.models[name][request["value"]["path"]] = base64.b64decode(
                        request["value"]["content"]
                    )
            answer = {
                "commitUrl": f"{self.hub.address}/{name}/commit/{COMMIT}",
                "commitOid": COMMIT,
                "success": True,
            }
            return self._send(json.dumps(answer).encode())
        return self._fail(404, "")

    def _read(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.failing:
            self.hub.failing -= 1
            return self._fail(500, "")
        if path.startswith("/api/models/"):
            name = path.removeprefix("/api/models/").partition("/revision/")[0]
            if name in self.hub.gated:
                return self._fail(403, "GatedRepo")
            if name not in self.hub.models:
                return self._fail(404, "RepoNotFound")
            return self._send(json.dumps(self._info(name)).encode(), body=body)
        name, _, rest = path.strip("/").partition("/resolve/")
        file = rest.partition("/")[2]
        if name not in self.hub.models:
            return self._fail(404, "RepoNotFound")
        if file not in self.hub.models[name]:
            return self._fail(404, "EntryNotFound")
        return self._send(self.hub.models[name][file], body=body, file=True)

    def _info(self, name: str) -> dict[str, object]:
        files = [{"rfilename": file, "size": len(content)} for file, content in self.hub.models[name].items()]
        card = {"license": self.hub.licences[name]} if name in self.hub.licences else {}
        return {
            "id": name,
            "modelId": name,
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": files,
            "cardData": card,
        }

    def _send(self, content: bytes, *, body: bool = True, file: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        if file:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
        else:
            self.send_header("Content-Type", "application/json")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""
