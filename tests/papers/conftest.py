"""A synthetic pack laid out like EuroSAT: two classes that differ in texture, 16 px, with a split."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(kind: int, number: int) -> bytes:
    rng = np.random.default_rng([kind, number])
    y, x = np.mgrid[:16, :16]
    waves = 60 * np.sin((x if kind else y) * (1.2 if kind else 0.5) + number)
    pixels = 128 + waves[:, :, None] + rng.normal(0, 8, (16, 16, 3)) + rng.uniform(-20, 20, 3)
    held = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(held, "PNG")
    return held.getvalue()


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `eurosat_rgb.zip`: 24 training and 8 test pictures of each of two classes.

    The working folder is temporary too.
    """
    folder = tmp_path / "packs"
    folder.mkdir()
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "label", "split", "gsd_m"])
    with zipfile.ZipFile(folder / "eurosat_rgb.zip", "w") as archive:
        for kind, name in enumerate(("Fields", "Water")):
            for number in range(32):
                archive.writestr(f"{name}_{number}.png", picture(kind, number))
                writer.writerow([f"{name}_{number}.png", name, "train" if number < 24 else "test", 10])
        archive.writestr("index.csv", text.getvalue())
    monkeypatch.chdir(tmp_path)
    return folder
