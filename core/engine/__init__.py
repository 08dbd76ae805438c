"""Torch at work: tiles become pictures and vectors here, networks are trained here; tensors stop here."""
