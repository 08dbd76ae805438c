"""One file per verb of `python -m core`: `add_parser(subparsers)` describes it, `run(args) -> int` does it."""
