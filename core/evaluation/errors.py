"""What can go wrong when a model is scored, each with a sentence that says what to do next."""

from ..errors import ExplorerError


class EvaluationError(ExplorerError):
    """Base of every error that an evaluation may show."""


class LabelledSetError(EvaluationError):
    """A labelled set is missing, empty, or its labels cannot be used."""


class FeatureError(EvaluationError):
    """Vectors cannot be scored: not finite, of the wrong shape, or too few."""


class RecipeError(EvaluationError):
    """A recipe file cannot be read, or asks for what the protocol does not know."""
