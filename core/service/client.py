"""A client of the HTTP service in one file: copy it anywhere; it needs only Python and NumPy.

>>> service = Client("http://127.0.0.1:8600", token="...")
>>> service.embed(["scene.tif"]).shape
(1, 192)
"""

from __future__ import annotations

import http.client
import io
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = str | Path | bytes


class ServiceError(Exception):
    """What the service said, and its HTTP status (0: it was not reached)."""

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class Client:
    """A service at an address. Every method raises ServiceError."""

    def __init__(self, address: str, token: str | None = None, *, timeout_s: float = 120.0) -> None:
        self._address, self._token, self._timeout_s = address.rstrip("/"), token, timeout_s

    def models(self) -> list[dict[str, Any]]:
        """The networks that can be named as `model`."""
        return json.loads(self._send("/v1/models"))

    def reconstruct(self, image: Image, *, format: str = "json", **options: Any) -> Any:  # noqa: A002
        """Recipe and scores of a reconstruction; with format "geotiff" or "zip", the bytes of that file.

        Options: mask ("random-75-s0"), model, policy, gsd_m, window ("column,row,width,height"), size_px.
        """
        answer = self._send(f"/v1/reconstruct?format={format}", {"image": [image]}, options)
        return json.loads(answer) if format == "json" else answer

    def embed(self, images: Sequence[Image], **options: Any) -> NDArray[np.float32]:
        """One vector for each image: float32 (n, d). Options: model, policy, pooling, gsd_m, size_px."""
        answer = self._send("/v1/embed?format=npy", {"images": images}, options)
        return np.load(io.BytesIO(answer), allow_pickle=False)

    def search(self, image: Image | None = None, **options: Any) -> dict[str, Any]:
        """The most similar rows of the service's table. Options: row, lon and lat, gsd_m, k."""
        return json.loads(self._send("/v1/search", {"image": [image]} if image is not None else {}, options))

    def _send(
        self,
        path: str,
        files: Mapping[str, Sequence[Image]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> bytes:
        headers, data = {}, None
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if files is not None:
            boundary = uuid.uuid4().hex
            data = _form(boundary, files, options or {})
            headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        try:
            request = urllib.request.Request(self._address + path, data, headers)
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise ServiceError(_sentence(error), error.code) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServiceError(f"The service at {self._address} was not reached: {error}.") from None


def _form(boundary: str, files: Mapping[str, Sequence[Image]], options: Mapping[str, Any]) -> bytes:
    parts: list[bytes] = []
    for name, value in options.items():
        if value is not None:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            parts.append(head.encode() + str(value).encode() + b"\r\n")
    for name, images in files.items():
        for image in images:
            data = image if isinstance(image, bytes) else Path(image).read_bytes()
            file = "upload" if isinstance(image, bytes) else Path(image).name.replace('"', "")
            head = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            )
            parts.append(head.encode() + data + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"The service answered {error.code} {error.reason}."
