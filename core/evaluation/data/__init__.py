"""Labelled sets and pictures: found, opened, checked, split and cut."""
