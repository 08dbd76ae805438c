"""The wheel in an environment of its own: import name, packaged data, and independence of the checkout."""

import ast
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
WORLD_ROWS_AT_LEAST = 1000


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel; other libraries come from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=300)
    home = folder / "a place with spaces, é"
    venv.create(home, with_pip=False)
    found = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    (wheel,) = folder.glob("*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(found),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True, timeout=300)
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    where = subprocess.run(
        [found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    (Path(where.stdout.strip()) / "libraries.pth").write_text(f"{ours}\n")
    return found


def in_it(python: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment far from the checkout."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "EARTH_MAE"))
    }
    environment |= {"EARTH_MAE_HOME": str(folder / "home")}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.thorough
def test_a_notebook_needs_one_import(python: Path, tmp_path: Path) -> None:
    script = tmp_path / "notebook.py"
    script.write_text(
        "import sys\n"
        "import earth_mae\n"
        "assert not any(name.partition('.')[0] in ('core', 'torch') for name in sys.modules)\n"
        "from pathlib import Path\n"
        "from earth_mae import MaskSpec, TileRef, TileSpec, embed, known_sources, load, open_source\n"
        "from earth_mae import open_table, read_ground, reconstruct\n"
        "from earth_mae.geo.catalogue import SHARED_DATA\n"
        "assert SHARED_DATA == Path(sys.argv[1]) / 'packs'\n"
        "model = load('scale_mae_tiny')\n"
        "spec = TileSpec(TileRef('samples', 'landsat'))\n"
        "tile = read_ground(known_sources().read, spec, model.card.input_px)\n"
        "made = reconstruct(model, tile, MaskSpec('block', 0.5, seed=3))\n"
        "table = open_table(Path(earth_mae.__file__).parent / 'atlas' / 'world')\n"
        "assert 'core' not in sys.modules and callable(embed) and callable(open_source)\n"
        "print(earth_mae.__version__, made.combined.shape, len(table))\n"
    )
    done = in_it(python, str(python), str(script), str(tmp_path / "home"), folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    version, rest = done.stdout.split(" ", 1)
    assert version == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert int(rest.rsplit(" ", 1)[1]) > WORLD_ROWS_AT_LEAST


@pytest.mark.thorough
def test_the_command_has_every_verb_and_reconstructs(python: Path, tmp_path: Path) -> None:
    command = str(python.with_name("earth-mae"))
    helped = in_it(python, command, "--help", folder=tmp_path)
    verbs = {module.name for module in pkgutil.iter_modules([str(ROOT / "core/cli/verbs")])}
    assert helped.returncode == 0 and verbs <= set(re.findall(r"[a-z]+", helped.stdout)), helped.stderr[
        -2000:
    ]
    assert "earth-mae models" in helped.stdout and "python -m core" not in helped.stdout
    made = in_it(
        python,
        command,
        "reconstruct",
        "samples/landsat",
        "--mask",
        "blob",
        "--ratio",
        "0.5",
        "--out",
        "out",
        "--json",
        folder=tmp_path,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    assert json.loads(made.stdout) and list((tmp_path / "out").iterdir())


def test_nothing_in_the_library_imports_what_windows_lacks() -> None:
    """Not at the top level of a module; behind a condition, or in a `try`, it may."""
    lacking = {"fcntl", "resource", "pwd", "grp", "termios", "pty"}
    found = [
        (path.name, name)
        for path in (ROOT / "core").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module])
    ]
    assert len(found) > len(lacking)
    assert [(file, name) for file, name in found if name in lacking] == []


def test_what_is_pinned_lies_in_the_ranges_of_the_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [
        *project["dependencies"],
        *(
            text
            for name, extra in project["optional-dependencies"].items()
            if name != "all"
            for text in extra
        ),
    ]
    pins = dict(
        re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    pins = {name.lower(): pin for name, pin in pins.items()}
    ranges = [Requirement(text) for text in texts]
    unpinned = {"affine", "shapely", "uvicorn", "python-multipart", "anywidget"}
    """They come with rasterio, geopandas, Streamlit and leafmap."""
    unpinned |= {"onnx", "onnxruntime", "tokenizers", "dask", "rioxarray"}  # the app does not need these
    unpinned |= {"ray"}  # only slow tests need it
    assert {range_.name for range_ in ranges} - set(pins) <= unpinned
    assert [
        f"{range_} does not hold {pins[range_.name]}"
        for range_ in ranges
        if range_.name in pins and not range_.specifier.contains(pins[range_.name])
    ] == []
