"""The command line: finds the verbs in core/cli/verbs, runs one, and turns what happened into an exit code and at most a sentence.

Exit codes: 0 done, 1 an unexpected failure, 2 wrong usage or input (one sentence on standard error), 130 cancelled by the user.
A verb is a module with `add_parser(subparsers)` and `run(args) -> int`; it imports torch only in `run`.
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

exit codes: 0 done, 1 unexpected failure, 2 wrong usage or input, 130 cancelled"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code; every ExplorerError becomes one sentence on standard error."""
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
    except (
        BrokenPipeError
    ):  # the reader of our output has had enough, as `| head` does; a last flush must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"core: {error.strerror}: free some space, and give the same command again.", file=sys.stderr)
        return BAD_INPUT


def build_parser() -> argparse.ArgumentParser:
    """Describe every verb that core/cli/verbs holds."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="See what masked autoencoders know about the Earth: reconstruct, train, embed, search and score.",
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
    """Help under the name that the program was called by."""
    return text and text.replace("python -m core", PROGRAM)
