"""Networks of other libraries as encoders: they see whole pictures and give vectors, but nothing is hidden
from them and they reconstruct nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

from torch import Tensor

from .base import Encoder, ModelInputError
from .layers.vit import VisionTransformer


class ForeignEncoder(Encoder):
    """An encoder around another library's network.

    `offered` names its poolings, the usual one first: "vector" is the network's own, (b, `vector_dim`).
    """

    offered: tuple[str, ...]
    vector_dim: int

    @property
    def backbone(self) -> VisionTransformer:
        """Raises ModelInputError: the blocks of these networks are not accessible."""
        raise ModelInputError(
            f"{self.card.name} is another library's network, whose blocks are not accessible here: "
            "choose a model from the list of models, or a weights file of MAE's kind."
        )

    @abstractmethod
    def vector(self, images: Tensor, res: Tensor) -> Tensor:
        """The network's own vector of each picture: (b, 3, s, s), (b,) -> (b, vector_dim)."""

    @abstractmethod
    def tokens(self, images: Tensor, res: Tensor) -> Tensor:
        """Tokens of whole pictures, (b, 1 + n, d): the first stands for the picture, then patches by row.

        Raises ModelInputError where the network gives none.
        """

    @final
    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        if keep is not None:
            raise ModelInputError(
                f"{self.card.name} sees whole pictures only, so no patches can be hidden from it: "
                "choose a model that reconstructs."
            )
        return self.tokens(images, res)
