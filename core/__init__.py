"""Seeing what masked autoencoders know about the Earth: tiles, masks, models, embeddings, scores."""
