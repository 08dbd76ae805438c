"""A real S3 server, moto's, in a process of its own; it can refuse writes or drop connections when told to.

moto needs an older python-dateutil than the app, so `make` installs it beside the environment, in .venv/s3.
"""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PYTHON = Path(sys.prefix) / "s3" / "bin" / "python"
BUCKET = "bucket"
CONTROL = "/_control/"


@dataclass
class S3Server:
    """A running server with one bucket."""

    port: int
    process: subprocess.Popen[str]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which this program reaches it."""
        return {
            "EARTH_MAE_ONLINE": "1", "EARTH_MAE_ONLINE_LOCAL": "1", "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "the-key", "AWS_SECRET_ACCESS_KEY": "the-secret", "AWS_REGION": "us-east-1",
        }  # fmt: skip

    def fail(self, status: int, after: int = 0) -> None:
        """Answer all writes with a status, after some that succeed; 0 drops every connection, 200 heals."""
        self._put(f"{CONTROL}{status}/{after}")

    def _put(self, path: str) -> None:
        request = urllib.request.Request(self.endpoint + path, method="PUT")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
            pass


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Serve until the block ends; skips the test where moto or obstore is not installed."""
    import pytest  # moto's Python has no pytest

    pytest.importorskip("obstore")
    if not PYTHON.exists():
        pytest.skip("moto is not installed in .venv/s3: run `make setup`")
    process = subprocess.Popen([PYTHON, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        server = S3Server(int(process.stdout.readline()), process)
        server._put(f"/{BUCKET}")
        yield server
    finally:
        process.kill()
        process.wait()


class _Failing:
    """WSGI: moto's application, unless it was told to fail."""

    def __init__(self, application) -> None:
        self.application, self.status, self.after = application, 200, 0

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith(CONTROL):
            self.status, self.after = (int(part) for part in path.removeprefix(CONTROL).split("/"))
            start_response("200 OK", [])
            return [b""]
        if self.status == 0:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if environ["REQUEST_METHOD"] == "PUT" and self.status != 200:
            self.after -= 1
            if self.after < 0:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response(f"{self.status} Refused", [("Content-Type", "application/xml")])
                return [b"<Error><Code>Refused</Code><Message>the-secret</Message></Error>"]
        return self.application(environ, start_response)


def _serve() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = _Failing(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(server.port, flush=True)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - one line for every request
    server.serve_forever()


if __name__ == "__main__":
    _serve()
