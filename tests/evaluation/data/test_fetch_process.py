"""A download of a set in a separate process: killed, resumed, stopped, and its request as a file."""

import hashlib
import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from core import background
from core.background import REQUEST, BackgroundError
from core.cli.entry import BAD_INPUT, OK, main
from core.evaluation.data.fetch_process import FetchRequest, FetchRun, FetchStatus, fetch_from_file
from core.evaluation.data.fetching import FetchSetError
from core.evaluation.data.releases import DATASET_RELEASES, DatasetRelease, SetArchive

CONTENT = b"PK\x05\x06" + bytes(18) + b"x" * 2_000_000


class SlowPublisher:
    """Serves CONTENT, and waits before the second half until `resume` is set."""

    def __init__(self):
        self.ranges, self.resume = [], threading.Event()


@pytest.fixture
def publisher():
    served = SlowPublisher()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_): ...

        def do_GET(self):
            asked = self.headers.get("Range", "")
            served.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            half = max(start, len(CONTENT) // 2)
            try:
                self.wfile.write(CONTENT[start:half])
                self.wfile.flush()
                served.resume.wait(60)
                self.wfile.write(CONTENT[half:])
            except OSError:
                pass  # the process was killed or stopped

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    served.address = f"http://127.0.0.1:{running.server_port}/EuroSAT_RGB.zip"
    yield served
    served.resume.set()
    running.shutdown()
    running.server_close()


def release(address):
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    archive = SetArchive("EuroSAT_RGB.zip", address, digest, len(CONTENT))
    return DatasetRelease("eurosat", "EuroSAT RGB", (archive,), "MIT", "https://example.org")


@pytest.fixture
def local_program(publisher, tmp_path, monkeypatch):
    """Background processes download EuroSAT from the local publisher."""
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "local_program.py").write_text(
        "import sys\n"
        "from core.cli.entry import main\n"
        "from core.evaluation.data.releases import DATASET_RELEASES\n"
        "from tests.evaluation.data.test_fetch_process import release\n"
        f"DATASET_RELEASES['eurosat'] = release({publisher.address!r})\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    path = os.pathsep.join([str(tmp_path / "program"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.rstrip(os.pathsep))
    monkeypatch.setenv("EARTH_MAE_ONLINE_LOCAL", "1")
    monkeypatch.setattr(background, "PACKAGE", "local_program")


def wait_until(what, seconds=120):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def test_a_killed_download_resumes(publisher, local_program, tmp_path):
    run = FetchRun(tmp_path / "run")
    request = FetchRequest("eurosat", str(tmp_path / "sets"))
    run.start(request)
    with pytest.raises(BackgroundError, match="Another download is already running"):
        run.start(request)
    wait_until(lambda: run.status.progress and run.status.progress.done_bytes > 0)
    for child in psutil.Process().children():
        if any(str(run.folder) in word for word in child.cmdline()):
            child.send_signal(signal.SIGKILL)
            child.wait()
    wait_until(lambda: not run.running)
    again = FetchRun(run.folder)  # after a restart only the folder is known
    assert again.request == request and "interrupted" in again.problem

    publisher.resume.set()
    again.resume()
    wait_until(lambda: not again.running)
    assert again.status.ended and again.problem == "", background.last_words(again.folder)
    assert publisher.ranges[0] == "" and publisher.ranges[-1].startswith("bytes=")
    assert (tmp_path / "sets" / "EuroSAT_RGB.zip").read_bytes() == CONTENT


def test_a_stopped_download_keeps_what_was_received(publisher, tmp_path, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_ONLINE_LOCAL", "1")
    monkeypatch.setitem(DATASET_RELEASES, "eurosat", release(publisher.address))
    run = FetchRun(tmp_path)
    (tmp_path / REQUEST).write_text(json.dumps({"name": "eurosat", "folder": str(tmp_path / "sets")}))
    run.stop()
    assert main(["fetch", "--spec", str(tmp_path / REQUEST)]) == OK
    assert run.status.ended and run.problem == "" and not publisher.resume.is_set()
    assert (tmp_path / "sets" / ".EuroSAT_RGB.zip.part").stat().st_size > 0


def test_a_problem_is_kept_for_the_page(tmp_path):
    (tmp_path / REQUEST).write_text(json.dumps({"name": "aid", "folder": str(tmp_path / "sets")}))
    with pytest.raises(FetchSetError, match="By hand"):
        fetch_from_file(tmp_path / REQUEST)
    assert "By hand" in FetchRun(tmp_path).problem and FetchRun(tmp_path).status.ended


def test_an_unexpected_error_is_reported_too(tmp_path, monkeypatch):
    def fails(*_):
        raise ValueError("a defect")

    monkeypatch.setattr("core.evaluation.data.fetch_process.fetch_set", fails)
    (tmp_path / REQUEST).write_text('{"name": "eurosat", "folder": "x"}')
    with pytest.raises(ValueError, match="a defect"):
        fetch_from_file(tmp_path / REQUEST)
    assert "failed unexpectedly (ValueError)" in FetchRun(tmp_path).problem


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not valid JSON"),
        ('{"name": "eurosat"}', "lacks the field 'folder'"),
        ('{"name": 3, "folder": ""}', "'name' must be str"),
        ('{"name": "nowhere", "folder": ""}', "no published set called 'nowhere'"),
    ],
)
def test_an_invalid_request_is_refused_with_a_sentence(tmp_path, capsys, content, sentence):
    (tmp_path / "set.json").write_text(content)
    assert main(["fetch", "--spec", str(tmp_path / "set.json")]) == BAD_INPUT
    assert sentence in capsys.readouterr().err
    assert sentence in FetchRun(tmp_path).status.problem


def test_a_name_or_a_file_is_needed_but_not_both(tmp_path, capsys):
    assert main(["fetch"]) == BAD_INPUT
    assert "--spec FILE" in capsys.readouterr().err
    assert main(["fetch", "eurosat", "--spec", "set.json"]) == BAD_INPUT
    assert "leave out the other arguments" in capsys.readouterr().err


def test_a_damaged_status_is_an_empty_one(tmp_path):
    (tmp_path / "status.json").write_text('{"progress": 3}')
    assert FetchRun(tmp_path).status == FetchStatus()
