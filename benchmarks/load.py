"""How the Mask Lab answers when many people move its slider at once, each in a session over a real websocket.

    python benchmarks/load.py [--people 1,10,25] [--seconds 40] [--pause 0] [--anyway]

Every person moves "Masking ratio", waits until the changed picture has arrived, waits `--pause` seconds and
moves it again. Printed are moves per second, p50 and p95 from the move to the picture, processor seconds per
move, the server's memory, and the load average. The clients speak Streamlit's protocol without a browser, so
that they take only a few milliseconds a move of the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from _app import serving
from _quiet import load_or_leave
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

SLIDER = "Masking ratio"
COMBINED = re.compile(r'data-panel="combined"[^>]*><img src="([^"]+)"')
PATIENCE_S = 300


@dataclass
class Person:
    """One browser session and the picture that it shows; it sends only widgets that it has touched."""

    socket: ClientConnection
    page: str = "Mask_Lab"
    slider: str = ""
    picture: str = ""
    query: str = ""
    errors: list[str] = field(default_factory=list)

    async def open(self) -> None:
        """Ask for the page and wait for its slider and its first picture."""
        await self._ask()
        async with asyncio.timeout(PATIENCE_S):
            while not (self.slider and self.picture):
                await self.hear()

    async def move(self, percent: int) -> float:
        """Move the slider; gives the seconds until another picture has come."""
        before, start = self.picture, time.perf_counter()
        await self._ask(percent)
        async with asyncio.timeout(PATIENCE_S):
            while self.picture == before:
                await self.hear()
        return time.perf_counter() - start

    async def hear(self) -> None:
        """Take one message of the server in."""
        message = ForwardMsg.FromString(bytes(await self.socket.recv(decode=False)))
        kind = message.WhichOneof("type")
        if kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        if kind != "delta":
            return
        element = message.delta.new_element
        match element.WhichOneof("type"):
            case "html":
                found = COMBINED.search(element.html.body)
                self.picture = found[1] if found else self.picture
            case "exception":
                self.errors.append(element.exception.message)
            case "slider" if element.slider.label == SLIDER:
                self.slider = element.slider.id
            case _:
                pass

    async def _ask(self, percent: int | None = None) -> None:
        asked = BackMsg()
        asked.rerun_script.page_name, asked.rerun_script.query_string = self.page, self.query
        if percent is not None:
            moved = WidgetState(id=self.slider)
            moved.double_array_value.data[:] = [percent]
            asked.rerun_script.widget_states.widgets.append(moved)
        await self.socket.send(asked.SerializeToString())


@dataclass
class Measured:
    """Seconds of every move, and what the server spent and held meanwhile."""

    moves: list[float]
    wall_s: float
    cpu_s: float
    memory_mb: float

    def sentence(self, people: int) -> str:
        p50, p95 = np.percentile(self.moves, (50, 95))
        return (
            f"{people:3} people   {len(self.moves) / self.wall_s:5.2f} moves/s   "
            f"p50 {p50:6.2f} s   p95 {p95:6.2f} s   {self.cpu_s / len(self.moves):5.2f} CPU s a move   "
            f"{self.memory_mb:6.0f} MB   load {os.getloadavg()[0]:.1f}   n {len(self.moves)}"
        )


async def measure(
    address: str, server: psutil.Process, people: int, seconds: float, pause_s: float
) -> Measured:
    """Let so many people move their sliders for so long."""
    url = address.replace("http", "ws") + "/_stcore/stream"
    chance = random.Random(people)
    async with asyncio.TaskGroup() as opening:
        tasks = [opening.create_task(_come(url, n)) for n in range(people)]
    crowd = [task.result() for task in tasks]
    await _at_rest(server)
    moves: list[float] = []
    cpu, start = _cpu(server), time.perf_counter()

    async def keep_moving(person: Person) -> None:
        """Move to new places only, because results are cached; done when there are none left."""
        await asyncio.sleep(chance.random() * pause_s)
        for percent in chance.sample(range(5, 96), 91):
            if percent == 75:
                continue  # where it stands at first
            if time.perf_counter() - start > seconds:
                return
            moves.append(await person.move(percent))
            await asyncio.sleep(pause_s)

    await asyncio.gather(*map(keep_moving, crowd))
    done = Measured(moves, time.perf_counter() - start, _cpu(server) - cpu, server.memory_info().rss / 2**20)
    for person in crowd:
        person.socket.transport.abort()  # a polite close would first read everything that the server has sent
        if person.errors:
            raise SystemExit(f"The page raised: {person.errors[0]}")
    return done


async def connect_to(url: str) -> ClientConnection:
    """Connect as a browser does; a busy server may take its time."""
    return await connect(
        url,
        subprotocols=["streamlit"],  # pyright: ignore[reportArgumentType]
        max_size=None,
        compression=None,
        ping_interval=None,
        open_timeout=PATIENCE_S,
    )


async def _come(url: str, number: int) -> Person:
    """Open the page with a seed of one's own, so that no two people ask for the same picture."""
    person = Person(await connect_to(url))
    person.query = f"mask=random-75-s{number + 1}"
    await person.open()
    return person


async def _at_rest(server: psutil.Process, patience_s: float = 120) -> None:
    """Wait until the server has finished the imports and first pictures that follow its start."""
    waited = time.perf_counter()
    server.cpu_percent()
    while time.perf_counter() - waited < patience_s:
        await asyncio.sleep(2)
        if server.cpu_percent() < 10:
            return


def _cpu(server: psutil.Process) -> float:
    spent: Any = server.cpu_times()
    return spent.user + spent.system


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--people", type=lambda text: [int(part) for part in text.split(",")], default=[1, 10, 25]
    )
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds that a person looks at a picture (default 0)"
    )
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    with serving() as (address, _):
        server = next(
            child for child in psutil.Process().children() if "streamlit" in " ".join(child.cmdline())
        )
        asyncio.run(measure(address, server, 1, 5, 0))  # the network is loaded, every path was taken once
        for people in args.people:
            print(
                asyncio.run(measure(address, server, people, args.seconds, args.pause)).sentence(people),
                flush=True,
            )


if __name__ == "__main__":
    main()
