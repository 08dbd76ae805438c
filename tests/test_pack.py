"""The pack for a lab without internet: what it copies, what its start scripts say, what it reports."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SPEC = importlib.util.spec_from_file_location("pack", ROOT / "tools" / "pack.py")
assert SPEC and SPEC.loader
pack = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pack)


@pytest.fixture
def tracked() -> None:
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("not a git checkout, so tracked files are unknown")


def test_the_program_comes_with_weights_and_without_tests(tracked: None, tmp_path: Path) -> None:
    pack.program(tmp_path)
    assert (tmp_path / "serve.py").is_file() and (tmp_path / "pages" / "6_Learn.py").is_file()
    assert any((tmp_path / "core" / "models" / "weights").glob("*.safetensors"))
    assert any((tmp_path / "notebooks" / "lessons").glob("*.ipynb"))
    absent = ("tests", "benchmarks", "frontend", ".venv", "docs/pictures", "notebooks/08_globe.ipynb")
    assert not any((tmp_path / name).exists() for name in absent)


def test_packages_that_the_app_never_imports_are_left_out() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    kept = pack.needed(lock)
    assert "\nduckdb==" in lock and "\nduckdb==" not in kept and "\nstreamlit==" in kept
    assert kept.count("--hash=") > 200
    with pytest.raises(ValueError, match="correct the table"):
        pack.needed(kept)


@pytest.mark.parametrize(
    ("platform", "has", "lacks"),
    [
        ("linux", "uvloop watchdog pexpect", "colorama pywinpty"),
        ("macos", "uvloop pexpect", "colorama pywinpty watchdog"),
        ("windows", "colorama pywinpty watchdog", "uvloop pexpect ptyprocess"),
    ],
)
def test_each_platform_gets_its_own_packages(platform: str, has: str, lacks: str) -> None:
    """pip would read the markers as those of the machine that writes the pack."""
    lock = pack.needed((ROOT / "requirements.lock").read_text(), pack.environment(platform, "3.12"))
    assert " ; " not in lock and "\nnumcodecs==" in lock
    names = {line.partition("==")[0] for line in lock.splitlines() if "==" in line}
    assert set(has.split()) <= names and not set(lacks.split()) & names


IMPORT_EVERYTHING = """
import importlib, io, pkgutil, sys
for name in sys.argv[1:]:
    sys.modules[name] = None  # importing it raises ImportError
import core, ui
for package in (core, ui):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
import leafmap.maplibregl, matplotlib.backends.backend_pdf, pystac_client.stac_api_io, rio_tiler.io, umap
import geopandas as gpd
gpd.GeoDataFrame({"a": [1]}, geometry=gpd.points_from_xy([0], [0])).to_parquet(io.BytesIO())
"""


@pytest.mark.slow
def test_the_app_runs_without_what_is_left_out() -> None:
    names = [name.replace("-", "_") for name in pack.NOT_NEEDED]
    command = [sys.executable, "-c", IMPORT_EVERYTHING, *names]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_start_scripts_install_from_the_folder_only() -> None:
    for name in ("start.sh", "start.bat"):
        assert "--no-index" in pack.START[name] and "wheels" in pack.START[name]
        assert "http" not in pack.START[name].replace("127.0.0.1", "")


def test_the_size_of_torch_is_reported_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {
        "program/serve.py": 1,
        "worksheets/01.pdf": 1,
        "wheels/torch-2.whl": 50,
        "wheels/torchmetrics-1.whl": 3,
        "wheels/nvidia_cublas-12.whl": 20,
        "wheels/numpy-2.whl": 10,
    }
    for name, megabytes in sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(megabytes * 1_000_000))
    pack.report(tmp_path)
    printed = capsys.readouterr().out
    assert "70.0 MB  wheels of torch" in printed and "15.0 MB  beyond torch" in printed


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    monkeypatch.setattr("sys.argv", ["pack.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="is not empty"):
        pack.main()


def test_linux_elsewhere_needs_a_torch_without_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "here", lambda: "macos")
    monkeypatch.setattr("sys.argv", ["pack.py", "--out", str(tmp_path), "--platform", "linux"])
    with pytest.raises(SystemExit, match="a torch without CUDA"):
        pack.main()
    assert not list(tmp_path.iterdir())
