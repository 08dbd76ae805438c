"""Tables on disk: shards, manifest, reading, appending, and conditions over rows."""
