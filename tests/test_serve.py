"""What `make app` runs, beyond its pages."""

import subprocess
import sys
from pathlib import Path

COLLECTING = """
import gc, time
import serve

for thread in serve.threading.enumerate():
    if thread.name == "warm-up":
        thread.join()

def collect():
    start = time.process_time()
    gc.collect(2)
    return time.process_time() - start

frozen = min(collect() for _ in range(3))
gc.unfreeze()
print(frozen, min(collect() for _ in range(3)))
"""


def test_collecting_garbage_after_each_run_skips_what_was_imported():
    """Streamlit collects all generations after every run, which took most of the time of a slider move."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECTING],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    frozen, whole = map(float, done.stdout.split()[-2:])
    assert frozen < whole / 10, (
        f"{frozen:.3f} s of processor time, {whole:.3f} s if everything is looked through"
    )
