"""Untrusted files: opened in a child process with hard limits, which returns plain data or an error
message."""

from .process import Limits, call, share_among

__all__ = ["Limits", "call", "share_among"]
