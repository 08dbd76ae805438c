"""What an embedding run writes: shards of a table, or rasters with one vector a patch."""
