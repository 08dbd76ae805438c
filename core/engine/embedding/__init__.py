"""Embedding runs: rasters cut into windows, fed to an encoder, and written as rows of a table or as a patch raster."""
