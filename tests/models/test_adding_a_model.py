"""The model file that docs/adding-a-model.md shows is found without registration and keeps the contract."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = """
import sys
import core.models
core.models.__path__.append(sys.argv[1])
import pytest
sys.exit(pytest.main(["tests/models/test_contract.py", "-q", "-k", "one_linear", "-p", "no:cacheprovider"]))
"""


def test_the_page_s_model_keeps_the_contract(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "adding-a-model.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found
    (tmp_path / "one_linear.py").write_text(found.group(1))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed.group(1)) > 20
