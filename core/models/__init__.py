"""The networks: plain MAE, Scale-MAE, SDMAE, TinyMIM, and the one way to create or load them.

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
