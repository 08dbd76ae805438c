"""The Globe page's parts: the desk that all panels share, the scene with both maps, and one module for each panel under it."""
