"""Files from strangers: opened in a child process with hard limits, which answers with plain data or one sentence."""

from .process import Limits, call

__all__ = ["Limits", "call"]
