"""Embedding runs: rasters are cut into tiles, embedded, and written as a table or as patch rasters."""
