"""What can be learned from a table: projections, clusters, outliers, labels, matches between tables."""
