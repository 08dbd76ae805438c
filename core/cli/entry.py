"""The command line: find the verbs in core/cli/verbs, run one, and return an exit code.

Exit codes: 0 success, 1 unexpected failure, 2 invalid usage or input (one message on standard error), 130
cancelled. A verb is a module with `add_parser(subparsers)` and `run(args) -> int`; it imports torch only in
`run`.
"""

import argparse
import errno
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

from ..errors import ExplorerError
from . import verbs as verb_modules

PROGRAM = "earth-mae" if __name__.startswith("earth_mae") else "python -m core"
OK, UNEXPECTED, BAD_INPUT, CANCELLED = 0, 1, 2, 130

_EPILOG = """examples:
  python -m core models
  python -m core reconstruct scene.tif --mask block --ratio 0.5 --out out/
  python -m core VERB --help

exit codes: 0 success, 1 unexpected failure, 2 invalid usage or input, 130 cancelled"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; an ExplorerError becomes one message on standard error."""
    try:
        args = build_parser().parse_args(argv)
        code = args.run(args)
        sys.stdout.flush()
        return code
    except ExplorerError as error:
        print(f"core: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("core: cancelled.", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:  # the reader has stopped, as in `| head`; the final flush must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"core: {error.strerror}: free some space, then run the command again.", file=sys.stderr)
        return BAD_INPUT


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of every verb in core/cli/verbs."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Masked autoencoders for satellite imagery: "
        "reconstruct, train, embed, search and evaluate.",
        epilog=_named(_EPILOG),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    for module in sorted(pkgutil.iter_modules(verb_modules.__path__), key=lambda module: module.name):
        verb = importlib.import_module(f"{verb_modules.__name__}.{module.name}")
        known = set(verbs.choices)
        verb.add_parser(verbs)
        for name in set(verbs.choices) - known:
            verbs.choices[name].set_defaults(run=verb.run)
            verbs.choices[name].epilog = _named(verbs.choices[name].epilog)
            verbs.choices[name].description = _named(verbs.choices[name].description)
    return parser


def _named(text: str | None) -> str | None:
    """Return help text with the name that the program was called by."""
    return text and text.replace("python -m core", PROGRAM)
