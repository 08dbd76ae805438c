"""The networks: plain MAE, Scale-MAE, SDMAE, TinyMIM, and the one way to create or load them.

>>> from core.models import create, cards, load_checkpoint
"""

from core.models.checkpoints import LoadReport, load_checkpoint
from core.models.registry import ModelCard, cards, create, default_embedder, default_reconstructor

__all__ = ["LoadReport", "ModelCard", "cards", "create", "default_embedder", "default_reconstructor", "load_checkpoint"]
