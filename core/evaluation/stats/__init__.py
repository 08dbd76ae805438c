"""Metrics, bootstrap intervals, confusion and power spectra."""
