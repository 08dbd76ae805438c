"""Small files in the layout of each published product, written from its documentation.

Every builder returns the path to open, the vectors, and the outlines of the rows as (n, 4, 2) corners in the
product's CRS (None for tables). No file is copied from a publisher.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

UTM = "EPSG:32633"
GEOEMB = {
    "name": "geoemb:",
    "uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
    "schema_url": "https://raw.githubusercontent.com/geo-embeddings/embeddings-zarr-convention/"
    "refs/tags/v1/schema.json",
}


@dataclass(frozen=True, eq=False)
class Product:
    """A file of a product and the content that must be read from it."""

    path: Path
    source: str | None
    model: str | None
    vectors: NDArray[np.float32]
    crs: str | None = None
    transform: Affine | None = None
    pixels: NDArray[np.int64] | None = None
    """(n, 2) row and column of each vector."""


def random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def write_geotiff(path: Path, stored: NDArray[Any], crs: str | None, transform: Affine, **more: Any) -> None:
    names, tags = more.pop("names", ()), more.pop("tags", {})
    profile = {"driver": "GTiff", "count": len(stored), "height": stored.shape[1], "width": stored.shape[2]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", **profile, dtype=stored.dtype, crs=crs, transform=transform, **more
    ) as file:
        file.write(stored)
        if names:
            file.descriptions = names
        file.update_tags(**tags)


def write_parquet(path: Path, columns: dict[str, Any], **metadata: Any) -> None:
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata({k: json.dumps(v) for k, v in metadata.items()}), path)


def grid(
    path: Path, source: str, model: str, vectors: NDArray[np.float32], crs: str, transform: Affine
) -> Product:
    """Describe a raster whose (r, c, d) vectors are NaN where a pixel has none."""
    known = np.isfinite(vectors).all(axis=-1)
    return Product(path, source, model, vectors[known], crs, transform, np.argwhere(known))


def alphaearth(folder: Path, *, south_up: bool = True, size: tuple[int, int] = (5, 7)) -> Product:
    """developers.google.com/earth-engine/guides/aef_on_gcs_readme: int8, A00..A63, -128 masked, south-up."""
    stored = np.random.default_rng(1).integers(-127, 128, (64, *size), dtype=np.int8)
    stored[:, 1, 2] = -128
    down = 10.0 if south_up else -10.0
    transform = Affine(10, 0, 500_000, 0, down, 5_200_000)
    path = folder / "2024" / "33N" / "x9-0000000000-0000008192.tiff"
    write_geotiff(path, stored, UTM, transform, nodata=-128, names=[f"A{band:02d}" for band in range(64)])
    wide = stored.astype(np.float64)
    vectors = ((wide / 127.5) ** 2 * np.sign(wide)).astype(np.float32)
    vectors[:, 1, 2] = np.nan
    return grid(path, "AlphaEarth Foundations", "alphaearth-v1", vectors.transpose(1, 2, 0), UTM, transform)


def tessera_geotiff(folder: Path) -> Product:
    """github.com/ucam-eo/geotessera, core.py: float32, 128 named bands, version and year as tags."""
    vectors, transform = random(4, 6, 128), Affine(10, 0, 300_000, 0, -10, 5_770_000)
    path = folder / "grid_0.15_52.05_2024.tiff"
    names = [f"Tessera_Band_{band}" for band in range(128)]
    tags = {"TESSERA_DATASET_VERSION": "v1", "TESSERA_YEAR": "2024"}
    write_geotiff(path, vectors.transpose(2, 0, 1), "EPSG:32631", transform, names=names, tags=tags)
    return grid(path, "TESSERA", "tessera-v1", vectors, "EPSG:32631", transform)


def tessera_npy(folder: Path, *, landmask: bool = True) -> Product:
    """docs/architecture.rst of github.com/ucam-eo/geotessera: int8 (h, w, 128), float32 scales, landmask."""
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32631", always_xy=True)
    x, y = to_utm.transform([0.10, 0.20, 0.10, 0.20], [52.10, 52.10, 52.00, 52.00])
    left, top = min(x[0], x[2]), max(y[0], y[1])
    size = (round((top - min(y[2], y[3])) / 10), round((max(x[1], x[3]) - left) / 10))
    transform = Affine(10, 0, left, 0, -10, top)
    tile = folder / "global_0.1_degree_representation" / "2024" / "grid_0.15_52.05"
    tile.mkdir(parents=True)
    rng = np.random.default_rng(2)
    stored, scales = np.zeros((*size, 128), np.int8), np.full(size, np.nan, np.float32)
    rows, cols = np.array([0, 0, 500, size[0] - 1]), np.array([0, size[1] - 1, 400, 0])
    stored[rows, cols] = rng.integers(-127, 128, (4, 128))
    scales[rows, cols] = rng.uniform(0.01, 0.1, 4)
    np.save(tile / "grid_0.15_52.05.npy", stored)
    np.save(tile / "grid_0.15_52.05_scales.npy", scales)
    if landmask:
        mask = folder / "global_0.1_degree_tiff_all" / "grid_0.15_52.05.tiff"
        write_geotiff(mask, np.ones((1, *size), np.uint8), "EPSG:32631", transform)
    vectors = stored[rows, cols].astype(np.float32) * scales[rows, cols, None]
    at = np.stack([rows, cols], axis=1)
    return Product(tile / "grid_0.15_52.05.npy", "TESSERA", "tessera", vectors, "EPSG:32631", transform, at)


def copernicus_embed(folder: Path) -> Product:
    """github.com/zhu-xlab/Copernicus-FM, Copernicus-Embed-025deg: 768 bands, 0.25 degrees, ocean 0."""
    vectors, transform = random(6, 8, 768), Affine(0.25, 0, 9.875, 0, -0.25, 50.125)
    vectors[2, 3] = 0
    path = folder / "embed_map_310k.tif"
    write_geotiff(path, vectors.transpose(2, 0, 1), "EPSG:4326", transform)
    vectors[2, 3] = np.nan
    return grid(path, "Copernicus-Embed", "copernicus-fm", vectors, "EPSG:4326", transform)


def patch_raster(folder: Path) -> Product:
    """Ours: `python -m core embed --patches` (core/engine/embedding/sinks/patch_writing.py)."""
    vectors, transform = random(5, 4, 12), Affine(80, 0, 600_000, 0, -80, 5_000_000)
    path = folder / "scene.patches.tif"
    tags = {"RECIPE": json.dumps({"model": "mae_tiny", "source": "scene.tif", "gsd_m": 10.0})}
    write_geotiff(path, vectors.transpose(2, 0, 1), UTM, transform, nodata=np.nan, tags=tags)
    return Product(
        path, None, "mae_tiny", vectors.reshape(-1, 12), UTM, transform, np.argwhere(np.ones((5, 4), bool))
    )


def tessera_zarr(folder: Path, *, zipped: bool = False, attributes: dict[str, Any] | None = None) -> Product:
    """geotessera/zarr.py, geoemb: convention: utmNN groups, int8 (time, band, y, x), scales (time, y, x)."""
    zarr = pytest.importorskip("zarr")
    from zarr.storage import LocalStore, ZipStore

    rng = np.random.default_rng(3)
    stored = rng.integers(-127, 128, (1, 128, 4, 5), dtype=np.int8)
    scales = rng.uniform(0.01, 0.1, (1, 4, 5)).astype(np.float32)
    scales[0, 0, 0], scales[0, 1, 1] = np.nan, np.inf  # water, and land that is not filled yet
    path = folder / ("tessera.zarr.zip" if zipped else "tessera.zarr")
    store: Any = ZipStore(path, mode="w") if zipped else LocalStore(path)
    quantization = {
        "method": "per_pixel_scale", "original_dtype": "float32", "quantized_dtype": "int8",
        "scale": {"type": "array", "array_name": "scales", "nodata": "NaN"},
    }  # fmt: skip
    about = {
        "zarr_conventions": [GEOEMB], "geoemb:type": "pixel", "geoemb:dimensions": 128, "geoemb:gsd": 10.0,
        "geoemb:model": "https://geotessera.org/model/1.1", "geoemb:source_data": ["s3://sentinel-cogs"],
        "geoemb:data_type": "int8", "geoemb:quantization": quantization, "geoemb:spatial_layout": "utm_zones",
    } | (attributes or {})  # fmt: skip
    root = zarr.create_group(store, zarr_format=3, attributes=about)
    place = {"proj:code": "EPSG:32631", "spatial:transform": [10.0, 0, 300_000.0, 0, -10.0, 5_770_000.0]}
    zone = root.create_group("utm31", attributes=place)
    for name, values, axes in (
        ("embeddings", stored, ("time", "band", "y", "x")),
        ("scales", scales, ("time", "y", "x")),
        ("time", np.array([2024], np.int32), ("time",)),
    ):
        zone.create_array(name, data=values, dimension_names=axes)
    store.close()
    with np.errstate(invalid="ignore"):
        vectors = stored[0].transpose(1, 2, 0).astype(np.float32) * scales[0, ..., None]
    vectors[~np.isfinite(vectors).all(axis=-1)] = np.nan
    transform = Affine(10, 0, 300_000, 0, -10, 5_770_000)
    return grid(
        path, "s3://sentinel-cogs", "https://geotessera.org/model/1.1", vectors, "EPSG:32631", transform
    )


def geoemb_v2(folder: Path) -> Product:
    """Zarr 2 with the same attributes, (y, x, band) float32 and coordinate arrays of pixel centres."""
    zarr = pytest.importorskip("zarr")
    vectors, path = random(3, 4, 16), folder / "clay.zarr"
    about = {
        "geoemb:type": "pixel", "geoemb:dimensions": 16,
        "geoemb:model": "https://huggingface.co/made-with-clay/Clay",
        "geoemb:source_data": "https://registry.opendata.aws/sentinel-2-l2a-cogs/",
        "geoemb:data_type": "float32",
        "proj:code": UTM,
    }  # fmt: skip
    root = zarr.open_group(path, mode="w", zarr_format=2, attributes=about)
    for name, values, axes in (
        ("embeddings", vectors, ["y", "x", "band"]),
        ("x", 500_005.0 + 10 * np.arange(4), ["x"]),
        ("y", 5_199_995.0 - 10 * np.arange(3), ["y"]),
    ):
        root.create_array(name, data=values, attributes={"_ARRAY_DIMENSIONS": axes})
    transform = Affine(10, 0, 500_000, 0, -10, 5_200_000)
    return grid(path, about["geoemb:source_data"], about["geoemb:model"], vectors, UTM, transform)


N = 4
BOXES = [shapely.box(x, 10, x + 0.02, 10.02) for x in (0, 20, 40, 60)]
WKB = pa.array([shapely.to_wkb(box) for box in BOXES])


def clay_v1(folder: Path) -> Product:
    """source.coop/clay/lgnd-clay-v1-5-sentinel-2-l2a: columns of the product per scene, GeoParquet 1.1."""
    vectors, path = random(N, 1024), folder / "33UUP.parquet"
    sides = ("xmin", "ymin", "xmax", "ymax")
    columns = {
        "chips_id": [f"c{i}" for i in range(N)], "cell_id": ["a"] * N, "rasters_id": ["r"] * N,
        "stac_item_id": ["S2A_33UUP_20240601_0_L2A"] * N, "collection": ["sentinel-2-l2a"] * N,
        "datetime": pa.array([1_717_200_000_000_000] * N, pa.timestamp("us", "UTC")),
        "embedding": list(vectors),
        "bbox": [dict(zip(sides, box.bounds, strict=True)) for box in BOXES], "geometry": WKB,
    }  # fmt: skip
    write_parquet(
        path, columns, geo={"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {}}}
    )
    return Product(path, "Clay v1.5", "clay-v1.5", vectors)


def planet(folder: Path) -> Product:
    """data/planet of github.com/cloudnativegeo/geo-embeddings-survey: states Web Mercator, holds degrees."""
    vectors, path = random(N, 512), folder / "sample_embeddings.parquet"
    columns = {
        "datetime": pa.array([1_600_000_000_000_000_000] * N, pa.timestamp("ns")),
        "centroid_lat": [10.01] * N, "centroid_lon": [0.01, 20.01, 40.01, 60.01], "geometry": WKB,
        "chip_size": [224] * N,
        "embedding_thumbnail_uri": ["https://example.org/1.png"] * N, "clear_percent": [90] * N,
        "cloud_percent": [10] * N, "embedding": list(vectors),
    }  # fmt: skip
    crs = json.loads(pyproj.CRS("EPSG:3857").to_json())
    about = {"encoding": "WKB", "crs": crs, "bbox": [0.0, 10.0, 60.02, 10.02]}
    write_parquet(path, columns, geo={"primary_column": "geometry", "columns": {"geometry": about}})
    return Product(path, "Planet", None, vectors)


def major_tom(folder: Path, *, thumbnails: bool = False) -> Product:
    """huggingface.co/Major-TOM/Core-S2RGB-SigLIP: columns of its card; EarthEmbeddingExplorer adds two."""
    vectors, path = random(N, 1152), folder / f"part_{int(thumbnails):05d}.parquet"
    columns = {
        "unique_id": list("abcd"), "embedding": list(vectors), "timestamp": ["20200808T101031"] * N,
        "product_id": ["S2A"] * N, "grid_cell": ["1U_2R"] * N, "grid_row_u": pa.array([1] * N, pa.int16()),
        "grid_col_r": pa.array([2] * N, pa.int16()), "geometry": WKB, "centre_lat": [10.01] * N,
        "centre_lon": [0.01, 20.01, 40.01, 60.01], "utm_footprint": ["POLYGON EMPTY"] * N,
        "utm_crs": ["EPSG:32631"] * N, "pixel_bbox": pa.array([[0, 0, 224, 224]] * N),
        **({"parquet_url": ["u"] * N, "parquet_row": [1] * N} if thumbnails else {}),
    }  # fmt: skip
    write_parquet(path, columns)
    return Product(path, "EarthEmbeddingExplorer" if thumbnails else "Major TOM", None, vectors)


def clay_v0(folder: Path) -> Product:
    """clay-foundation.github.io/model/clay-v0/model_embeddings.html: GeoParquet per MGRS tile, named .gpq."""
    vectors, path = random(N, 768), folder / "32VLM_v01.gpq"
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), (768,)), pa.FixedSizeListArray.from_arrays(vectors.ravel(), 768)
    )
    days = pa.array([18_628] * N, pa.date32())
    columns = {"source_url": ["s3://x.tif"] * N, "date": days, "embeddings": tensors, "geometry": WKB}
    write_parquet(path, columns)
    return Product(path, "Clay v0", "clay-v0", vectors)


def earth_index(folder: Path) -> Product:
    """source.coop/earthgenome/earthindexembeddings: a column per value, `emb` metadata."""
    vectors, path = random(N, 384), folder / "33UUP_2024.parquet"
    columns = {
        "id": list("pqrs"), **{f"d{at}": vectors[:, at] for at in reversed(range(384))}, "geometry": WKB,
    }  # fmt: skip
    about = {"model": "softcon", "dim": 384, "quantization": None}
    write_parquet(path, columns, emb=about, geo={"primary_column": "geometry"})
    return Product(path, "Earth Index", "softcon", vectors)


def npz(folder: Path) -> Product:
    """np.savez of vectors, longitudes, latitudes and names."""
    vectors, path = random(N, 24), folder / "mine.npz"
    np.savez(path, embeddings=vectors, lon=[0.01, 20.01, 40.01, 60.01], lat=[10.01] * N, ids=list("abcd"))
    return Product(path, None, None, vectors)


def npy(folder: Path) -> Product:
    """np.save of vectors."""
    vectors, path = random(N, 24), folder / "mine.npy"
    np.save(path, vectors)
    return Product(path, None, None, vectors)


RASTERS: dict[str, Callable[[Path], Product]] = {
    "AlphaEarth": alphaearth, "TESSERA GeoTIFF": tessera_geotiff, "TESSERA NPY": tessera_npy,
    "TESSERA Zarr": tessera_zarr, "Zarr 2": geoemb_v2, "Copernicus-Embed": copernicus_embed,
    "ours": patch_raster,
}  # fmt: skip
TABLES: dict[str, Callable[[Path], Product]] = {
    "Major TOM": major_tom,
    "EarthEmbeddingExplorer": partial(major_tom, thumbnails=True),
    "Clay v0": clay_v0,
    "Clay v1.5": clay_v1,
    "Earth Index": earth_index,
    "Planet": planet,
    "NPZ": npz,
    "NPY": npy,
}
