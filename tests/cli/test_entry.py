"""The command line: verbs are found, help is there, and each outcome has its exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import verbs
from core.cli.entry import main

ROOT = Path(__file__).parents[2]

PROBE = """
import sys
from core.errors import ExplorerError

def add_parser(verbs):
    verbs.add_parser("probe", help="ends in the way that is asked for").add_argument("way")

def run(args):
    if args.way == "sentence":
        raise ExplorerError("This cannot be; do that.")
    if args.way == "cancel":
        raise KeyboardInterrupt
    if args.way == "bug":
        raise RuntimeError("a bug")
    if args.way == "long":
        print("line\\n" * 100_000)
    return 0
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zz_probe.py").write_text(PROBE)
    monkeypatch.setattr(verbs, "__path__", [*verbs.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "core.cli.verbs.zz_probe", raising=False)


@pytest.mark.usefixtures("probe")
@pytest.mark.parametrize(
    ("way", "code", "message"),
    [("well", 0, ""), ("sentence", 2, "This cannot be; do that."), ("cancel", 130, "cancelled")],
)
def test_each_end_has_its_exit_code_and_at_most_one_line(
    way: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", way]) == code
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") <= 1


@pytest.mark.usefixtures("probe")
def test_a_bug_is_not_dressed_up_as_bad_input() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        main(["probe", "bug"])


@pytest.mark.usefixtures("probe")
@pytest.mark.parametrize("argv", [[], ["fly"], ["probe"]])
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert "usage: python -m core" in capsys.readouterr().err


@pytest.mark.usefixtures("probe")
def test_help_lists_every_verb_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0 and "ends in the way that is asked for" in shown and "exit codes" in shown


def test_a_reader_that_leaves_early_ends_the_command_quietly(tmp_path: Path) -> None:
    (tmp_path / "zz_probe.py").write_text(PROBE)
    start = (
        "import sys; from core.cli import entry, verbs; "
        f"verbs.__path__.append({str(tmp_path)!r}); sys.exit(entry.main(['probe', 'long']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""


def test_help_comes_without_loading_torch() -> None:
    asks = (
        "import sys; from core.cli.entry import build_parser; build_parser(); "
        "assert 'torch' not in sys.modules and 'streamlit' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", asks], cwd=ROOT, check=False).returncode == 0
