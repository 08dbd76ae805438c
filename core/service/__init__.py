"""The HTTP service (`earth-mae serve`): reconstruct, embed and search for other programs."""
