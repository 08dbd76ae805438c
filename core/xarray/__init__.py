"""The accessor `da.mae`: reconstruct and embed any `xarray.DataArray` that has a CRS and a resolution.

>>> import earth_mae.xarray  # registers da.mae
>>> vectors = rioxarray.open_rasterio("scene.tif", chunks=2048).mae.embed("scale_mae_tiny")
"""

from .accessor import MaeAccessor

__all__ = ["MaeAccessor"]
