"""The networks: plain MAE, Scale-MAE, SDMAE, TinyMIM, and the one way to create or load them.

>>> from core.models import create, cards, load_checkpoint
"""

from core.models.registry import ModelCard, cards, create, default_embedder, default_reconstructor

__all__ = ["ModelCard", "cards", "create", "default_embedder", "default_reconstructor"]
