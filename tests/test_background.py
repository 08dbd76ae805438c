"""Background processes that outlive the process that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import background
from core.background import BackgroundError, alive, last_words, launch


def wait_until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def a_package(tmp_path, monkeypatch):
    """A small stand-in for `core`, so that processes start quickly."""
    (tmp_path / "root" / "core").mkdir(parents=True)
    (tmp_path / "root" / "core" / "__main__.py").write_text("import sys\nexec(sys.argv[1])\n")
    monkeypatch.setattr(background, "ROOT", tmp_path / "root")
    return tmp_path / "job"


def test_a_process_is_alive_until_killed_and_its_output_is_kept(a_package: Path):
    assert not alive(a_package)
    launch(a_package, ["import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
    assert alive(a_package)
    assert alive(a_package), "asking again must not affect it"
    with pytest.raises(BackgroundError, match="already"):
        launch(a_package, ["print('second')"])
    wait_until(lambda: last_words(a_package))
    os.kill(int(last_words(a_package)), signal.SIGKILL)
    wait_until(lambda: not alive(a_package))


def test_it_outlives_the_process_that_started_it(a_package: Path):
    script = "from pathlib import Path\nfrom core import background\n"
    script += f"background.ROOT = Path({str(background.ROOT)!r})\n"
    command = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    script += f"background.launch(Path({str(a_package)!r}), [{command!r}])\n"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[1], timeout=60)
    assert alive(a_package)
    wait_until(lambda: last_words(a_package))
    os.kill(int(last_words(a_package)), signal.SIGKILL)


def test_the_last_words_are_the_last_line(a_package: Path):
    launch(a_package, ["print('one', end='\\r'); print('two'); print('core: it did not work.')"])
    wait_until(lambda: not alive(a_package))
    assert last_words(a_package) == "core: it did not work."
    assert last_words(a_package / "nowhere") == ""
