"""A visitor without a browser: it speaks to the app over HTTP and the websocket like a page, and reads what
the page would show."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from http.cookies import SimpleCookie
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

WAIT_S = 180.0
XSRF = "_streamlit_xsrf"


class VisitorError(Exception):
    """The app did not answer like a page expects."""


class Visitor:
    """One tab of one browser. `elements` holds the content of the page by position."""

    def __init__(
        self,
        port: int,
        page: str = "",
        query: str = "",
        *,
        cookies: dict[str, str] | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        self.port, self.page, self.query, self.wait_s = port, page, query, wait_s
        self.cookies = dict(cookies or {})
        self.elements: dict[tuple[int, ...], Any] = {}
        self.states: dict[str, WidgetState] = {}
        self.session_id = ""
        self.request("GET", f"/{page}", headers={"Accept": "text/html"})
        self.request("GET", "/_stcore/health")
        self._open = ExitStack()
        link = connect(
            f"ws://127.0.0.1:{port}/_stcore/stream",
            origin=f"http://127.0.0.1:{port}",  # pyright: ignore[reportArgumentType]
            additional_headers={"Cookie": self._cookie()},
            subprotocols=["streamlit", self.cookies.get(XSRF, "none")],  # pyright: ignore[reportArgumentType]
            max_size=None,
            open_timeout=wait_s,
        )
        self._socket = self._open.enter_context(link)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the tab."""
        self._open.close()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        host: str | None = None,
    ) -> tuple[int, bytes]:
        """Send an HTTP request with this browser's cookies; return status and body."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.wait_s)
        headers_sent = {"Host": host or f"127.0.0.1:{self.port}", "Cookie": self._cookie(), **(headers or {})}
        try:
            link.request(method, path, body, headers_sent)
            answer = link.getresponse()
            for cookie in answer.msg.get_all("set-cookie") or ():
                self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(cookie).items()}
            return answer.status, answer.read()
        finally:
            link.close()

    def run(self, *states: WidgetState, fragment_id: str = "") -> float:
        """Send the values of widgets and run the page; return the seconds that it took.

        Raises VisitorError if it never ends.
        """
        start = time.monotonic()
        self.send(*states, fragment_id=fragment_id)
        self.wait()
        return time.monotonic() - start

    def send(self, *states: WidgetState, fragment_id: str = "") -> None:
        """Send the values of widgets without waiting. Clicks are sent once."""
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_name, asked.fragment_id = self.query, self.page, fragment_id
        for state in states:
            if state.WhichOneof("value") != "trigger_value":
                self.states[state.id] = state
        if not fragment_id:
            self.elements.clear()
        asked.widget_states.widgets.extend({**self.states, **{state.id: state for state in states}}.values())
        self._socket.send(message.SerializeToString())

    def tell(self, message: BackMsg) -> None:
        """Send any other message to the server."""
        self._socket.send(message.SerializeToString())

    def wait(self) -> None:
        """Receive the content of the page until its script has ended."""
        end = time.monotonic() + self.wait_s
        while True:
            try:
                data = self._socket.recv(timeout=max(0.0, end - time.monotonic()))
            except TimeoutError:
                raise VisitorError(f"The page did not end within {self.wait_s:.0f} s.") from None
            except ConnectionClosed as problem:
                raise VisitorError(f"The connection was closed ({problem}).") from None
            message = ForwardMsg()
            message.ParseFromString(data if isinstance(data, bytes) else data.encode())
            if self._receive(message):
                return

    def find(self, kind: str, label: str) -> Any:
        """Return the first element of a kind whose label begins so. Raises VisitorError if none does."""
        for element in self.all(kind):
            if element.label.startswith(label):
                return element
        raise VisitorError(
            f"There is no {kind} called {label}; there are {[element.label for element in self.all(kind)]}."
        )

    def all(self, kind: str) -> Iterator[Any]:
        """Return all elements of a kind."""
        for element in list(self.elements.values()):
            if element.WhichOneof("type") == kind:
                yield getattr(element, kind)

    def said(self) -> str:
        """Return the text of alerts and exceptions on the page."""
        shown = [alert.body for alert in self.all("alert")] + [
            f"{one.type}: {one.message}" for one in self.all("exception")
        ]
        return " | ".join(shown)

    def upload(self, uploader: Any, name: str, data: bytes) -> tuple[int, WidgetState]:
        """Upload a file to a field; return the status of the answer and the new value of the field."""
        file_id = str(uuid.uuid4())
        status = self.put(file_id, name, data)
        path = f"/_stcore/upload_file/{self.session_id}/{file_id}"
        info = UploadedFileInfo(file_id=file_id, name=name, size=len(data))
        info.file_urls.file_id, info.file_urls.upload_url, info.file_urls.delete_url = file_id, path, path
        state = WidgetState(id=uploader.id)
        state.file_uploader_state_value.uploaded_file_info.append(info)
        return status, state

    def put(self, file_id: str, name: str, data: bytes) -> int:
        """Upload a file like a field does, whether or not the page has one."""
        line = uuid.uuid4().hex
        head = (
            f'--{line}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + data + f"\r\n--{line}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={line}",
            "X-Xsrftoken": self.cookies.get(XSRF, ""),
        }
        try:
            return self.request("PUT", f"/_stcore/upload_file/{self.session_id}/{file_id}", body, headers)[0]
        except (BrokenPipeError, ConnectionError):
            return 413  # refused before the upload was complete

    def _receive(self, message: ForwardMsg) -> bool:
        match message.WhichOneof("type"):
            case "new_session":
                self.session_id = message.new_session.initialize.session_id or self.session_id
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                self.elements[tuple(message.metadata.delta_path)] = message.delta.new_element
            case "script_finished":
                return message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
            case _:
                pass
        return False

    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


def click(button: Any) -> WidgetState:
    """The value of a button when it is pressed."""
    return WidgetState(id=button.id, trigger_value=True)


def slide(slider: Any, *values: float) -> WidgetState:
    """The value of a slider when it is moved."""
    state = WidgetState(id=slider.id)
    state.double_array_value.data.extend(values)
    return state


def select(group: Any, *options: str) -> WidgetState:
    """The value of a group of buttons when options are chosen."""
    state = WidgetState(id=group.id)
    state.string_array_value.data.extend(options)
    return state


def write(field: Any, text: str) -> WidgetState:
    """The value of a text field."""
    return WidgetState(id=field.id, string_value=text)
