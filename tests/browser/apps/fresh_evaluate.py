"""The Evaluate page of a machine that has no data packs beside the program."""

import runpy
from pathlib import Path

from core.evaluation.data import datasets

ROOT = Path(__file__).parents[3]
datasets.SHARED_DATA = datasets.FETCHED_FOLDER = Path("/nonexistent")
runpy.run_path(str(ROOT / "pages" / "4_Evaluate.py"), run_name="__main__")
