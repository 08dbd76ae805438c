"""Analyses of a table: projections, clusters, outliers, labels, matches between tables."""
