"""Weights from outside: files opened safely, recognised by their keys, and turned into networks."""
