"""Baselines that no network made: fills of hidden pixels, and colour histograms."""
