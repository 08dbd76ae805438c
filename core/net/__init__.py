"""The only way to the internet: whether it may be used at all, the client that asks, and downloads that resume."""
