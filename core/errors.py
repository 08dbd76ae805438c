"""Errors whose message is shown to the user: each says what is wrong, then what to do next."""


class ExplorerError(Exception):
    """Base of every error whose message is shown as it is, on a page or on standard error."""


class UsageError(ExplorerError):
    """A command line with an option that cannot be read."""


def in_brief(problem: BaseException, most: int = 200) -> str:
    """The message of a library as one line of bounded length."""
    return " ".join(str(problem).split())[:most]
