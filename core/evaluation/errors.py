"""Errors of evaluations; each message says what to do next."""

from ..errors import ExplorerError


class EvaluationError(ExplorerError):
    """Base class of all evaluation errors."""


class LabelledSetError(EvaluationError):
    """A labelled set is missing, empty or inconsistent."""


class FeatureError(EvaluationError):
    """Features cannot be scored: they are not finite, have the wrong shape, or are too few."""


class RecipeError(EvaluationError):
    """A recipe or plan is invalid."""
