"""Numbers recorded from the original models (data/, see README of the recording) as tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

DATA = Path(__file__).with_name("data")
Recorded = dict[str, Tensor]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Recorded]:
    """Read one recorded file by name: key -> tensor."""

    def read(name: str) -> Recorded:
        with np.load(DATA / f"{name}.npz") as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}

    return read


@pytest.fixture(scope="session")
def listing() -> Callable[[str], dict[str, tuple[tuple[int, ...], bool]]]:
    """Read one recorded listing of tensors by name: key -> (shape, trainable)."""

    def read(name: str) -> dict[str, tuple[tuple[int, ...], bool]]:
        rows = [line.split("\t") for line in (DATA / f"{name}.tsv").read_text().splitlines()[1:]]
        return {
            key: (tuple(map(int, shape.split("x"))) if shape else (), trainable == "1")
            for key, shape, _, trainable in rows
        }

    return read
