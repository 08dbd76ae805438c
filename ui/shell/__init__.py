"""The frame of every page: state, caches, jobs, uploads, weights and our own HTTP routes."""
