"""The networks (MAE, Scale-MAE, SDMAE, TinyMIM, Scale-Contrast) and the functions that create or load them.

>>> from core.models import create, cards, load_checkpoint
"""

from .checkpoints.loading import load_checkpoint
from .registry import ModelCard, cards, create, default_embedder, default_reconstructor
from .report import LoadReport

__all__ = [
    "LoadReport",
    "ModelCard",
    "cards",
    "create",
    "default_embedder",
    "default_reconstructor",
    "load_checkpoint",
]
