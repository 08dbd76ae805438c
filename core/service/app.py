"""The routes of the HTTP service. Its pages on /docs are served from this machine."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from ..atlas.store.table import EmbeddingTable
from ..engine.device import device
from ..engine.turns import turns
from ..errors import ExplorerError
from ..export import geotiff, pictures_zip, recipe_json
from . import requests
from .door import BodyError, Door, problem
from .requests import TooBusyError, Upload

LOG = logging.getLogger(__name__)
IMAGE = Annotated[UploadFile, File(description="GeoTIFF, PNG or JPEG")]
GSD = Annotated[
    float | None, Form(gt=0, le=1e6, description="metres per pixel, if the image does not state it")
]
TEXT = Annotated[str | None, Form(max_length=200)]
SIDE = Annotated[int | None, Form(ge=8, le=1024, description="side of the input in px")]
FORMATS = {
    "json": "application/json",
    "geotiff": "image/tiff",
    "zip": "application/zip",
}


@dataclass(frozen=True)
class Settings:
    """How a service answers.

    `names`: host names by which it may be called; empty: any. `per_minute`: requests of one client, 0 for no
    limit. `table`: what /v1/search searches.
    """

    token: str | None = None
    names: frozenset[str] = frozenset()
    per_minute: int = 600
    max_mb: int = 50
    table: EmbeddingTable | None = None


def create_app(settings: Settings) -> FastAPI:
    """Build the ASGI application of a service."""
    app = FastAPIOffline(
        title="Earth MAE Explorer", version=_version(), description=__doc__ or "", redoc_url=None
    )
    registry = CollectorRegistry()
    waiting = Gauge("earth_mae_waiting", "Requests that wait for the device or run", registry=registry)
    waiting.set_function(lambda: turns(device().kind).waiting())
    _add_errors(app)
    _add_status(app, registry)
    _add_networks(app)
    _add_search(app, settings.table)
    app.add_middleware(
        Door,
        registry=registry,
        paths={route.path for route in app.routes if isinstance(route, Route)},
        token=settings.token,
        names=settings.names,
        per_minute=settings.per_minute,
        max_bytes=settings.max_mb * 2**20,
    )
    return app


def _version() -> str:
    try:
        return version("earth-mae-explorer")
    except PackageNotFoundError:  # a checkout
        return "checkout"


def _add_errors(app: FastAPI) -> None:
    """Answer every error with one sentence."""

    @app.exception_handler(ExplorerError)
    def refused(_: Request, error: ExplorerError) -> Response:
        busy = isinstance(error, TooBusyError)
        return problem(503 if busy else 422, str(error), {"Retry-After": "5"} if busy else None)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}.")

    @app.exception_handler(HTTPException)
    def unknown(_: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, BodyError):  # raised while FastAPI reads the form
            return error.__cause__.answer
        sentences = {
            404: "There is nothing at this address: see /docs.",
            405: "Use another method: see /docs.",
        }
        return problem(error.status_code, sentences.get(error.status_code, f"{error.detail}."))

    @app.exception_handler(Exception)
    def failed(_: Request, error: Exception) -> Response:
        LOG.error("A request failed", exc_info=error)
        return problem(500, "The service failed on this request; its log says why.")


def _add_status(app: FastAPI, registry: CollectorRegistry) -> None:
    @app.get("/health")
    def health() -> dict[str, str]:
        """Say that the service answers, and on which device."""
        return {"status": "ok", "device": device().name}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        """Counts and durations of requests, for Prometheus."""
        return PlainTextResponse(generate_latest(registry), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    def models() -> list[dict[str, Any]]:
        """The networks that requests can name."""
        return requests.models()


def _add_networks(app: FastAPI) -> None:
    @app.post("/v1/reconstruct", response_class=Response)
    async def reconstruct(
        image: IMAGE,
        mask: Annotated[str, Form(max_length=20_000)] = "random-75-s0",
        model: TEXT = None,
        policy: TEXT = None,
        gsd_m: GSD = None,
        window: Annotated[str | None, Form(max_length=100, description="column,row,width,height")] = None,
        size_px: SIDE = None,
        format: Annotated[str, Query(description="json, geotiff or zip")] = "json",  # noqa: A002
    ) -> Response:
        """Hide part of an image and reconstruct it: recipe and scores, a GeoTIFF, or pictures."""
        if format not in FORMATS:
            raise requests.RequestError(f"format must be one of {', '.join(FORMATS)}.")
        upload, box = await _upload(image), _window(window)

        def work() -> bytes:
            result = requests.reconstruct(
                upload, mask=mask, model=model, policy=policy, gsd_m=gsd_m, window=box, size_px=size_px
            )
            if format == "geotiff":
                return geotiff(result)
            verdict = requests.evaluate(result)
            return pictures_zip(result, verdict) if format == "zip" else recipe_json(result, verdict).encode()

        return Response(await run_in_threadpool(work), media_type=FORMATS[format])

    @app.post("/v1/embed", response_class=Response)
    async def embed(
        images: Annotated[list[UploadFile], File(description=f"up to {requests.MOST_IMAGES} images")],
        model: TEXT = None,
        policy: TEXT = None,
        pooling: TEXT = None,
        gsd_m: GSD = None,
        size_px: SIDE = None,
        format: Annotated[str, Query(description="json or npy")] = "json",  # noqa: A002
    ) -> Response:
        """Embed images; requests that wait at the same time share the network's batch."""
        if format not in ("json", "npy"):
            raise requests.RequestError("format must be json or npy.")
        uploads = [await _upload(each) for each in images]
        made = await run_in_threadpool(
            requests.embed,
            uploads,
            model=model,
            policy=policy,
            pooling=pooling,
            gsd_m=gsd_m,
            size_px=size_px,
        )
        if format == "npy":
            content = io.BytesIO()
            np.save(content, made.vectors)
            return Response(content.getvalue(), media_type="application/octet-stream")
        return JSONResponse(
            {
                "model": made.model,
                "weights_sha256": made.weights_sha256,
                "pooling": made.pooling,
                "gsd_m": list(made.gsd_m),
                "vectors": made.vectors.tolist(),
            }
        )


def _add_search(app: FastAPI, table: EmbeddingTable | None) -> None:
    @app.post("/v1/search")
    async def search(
        image: Annotated[UploadFile | None, File(description="an image to look for")] = None,
        row: TEXT = None,
        lon: Annotated[float | None, Form(ge=-180, le=180)] = None,
        lat: Annotated[float | None, Form(ge=-90, le=90)] = None,
        gsd_m: GSD = None,
        k: Annotated[int, Form()] = 10,
    ) -> dict[str, Any]:
        """Find the rows of the service's table most similar to an image, a row or a place."""
        if table is None:
            raise requests.RequestError("This service has no table: its owner can start it with --table.")
        if (lon is None) != (lat is None):
            raise requests.RequestError("Give both lon and lat, in degrees.")
        upload = await _upload(image) if image is not None else None
        lonlat = (lon, lat) if lon is not None and lat is not None else None
        return await run_in_threadpool(
            requests.search, table, upload=upload, row=row, lonlat=lonlat, gsd_m=gsd_m, k=k
        )


async def _upload(file: UploadFile) -> Upload:
    return Upload(await file.read(), file.filename or "upload")


def _window(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise requests.RequestError(f"window {text!r:.60} must be column,row,width,height in pixels.")
    return tuple(int(part) for part in parts)
