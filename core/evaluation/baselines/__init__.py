"""Baselines without a network: fills of hidden pixels, and colour histograms."""
