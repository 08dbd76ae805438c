"""An approximate index for tables too large to read whole at every query: usearch's graph (HNSW, Malkov and Yashunin 2018)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from core.atlas.errors import SearchError
from core.atlas.neighbors import Neighbors, _duplicates, _unit  # pyright: ignore[reportPrivateUsage]
from core.atlas.table import EmbeddingTable
