"""Nearest neighbours, exact and approximate."""
