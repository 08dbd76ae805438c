"""The one family of errors that a person may see: every message is a sentence that says what to do next."""


class ExplorerError(Exception):
    """Base of every error whose message is shown, as it stands, on a page or on standard error."""
