"""Writes vectors in open formats: COG with a QGIS style, Zarr with `geoemb:`, and STAC beside each."""
