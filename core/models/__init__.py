"""The networks: plain MAE, Scale-MAE, SDMAE, TinyMIM, and the one way to create or load them.

>>> from core.models import create, cards, load_checkpoint
"""

from .checkpoints.loading import LoadReport, load_checkpoint
from .registry import ModelCard, cards, create, default_embedder, default_reconstructor

__all__ = [
    "LoadReport",
    "ModelCard",
    "cards",
    "create",
    "default_embedder",
    "default_reconstructor",
    "load_checkpoint",
]
