"""Image sets: find, open, check and split them, and cut crops and tiles."""
