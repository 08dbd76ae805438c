"""`python -m core evaluate`: score models on image sets, with confidence intervals and recipes."""

from __future__ import annotations

import argparse

from .arguments import add_parser

__all__ = ["add_parser", "run"]


def run(args: argparse.Namespace) -> int:
    """Run the verb and return its exit code."""
    from .running import run_evaluation  # imports NumPy, which `--help` does not need

    return run_evaluation(args)
