"""Evaluation protocols: kNN, linear probe, few-shot, segmentation, reconstruction, agreement."""
