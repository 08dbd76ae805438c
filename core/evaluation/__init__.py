"""Protocols: what a picture or a vector is worth, in numbers with intervals. Receives vectors or an `embed` callable; no torch."""
