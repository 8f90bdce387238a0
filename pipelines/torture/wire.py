"""The wire between one worker and the brokers: it can be cut one way or both, slowed, reset, and hold requests back.

A client goes where a broker's metadata send it, not where it was told first. So each broker has a second listener,
whose advertised address is an end of this wire: whoever starts there stays on it, and nobody else ever comes to it.

It carries whole frames, as Kafka does: four bytes of length, and behind them, in a request, the number of its API. What
has been handed to it arrives, as in a network, even when the worker has closed the connection meanwhile: a frame that
is held back comes late, not never.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple, TypeVar

END_TRANSACTION: Final = 26
"""The API key of EndTxn (Kafka's protocol guide)."""
HOST: Final = "127.0.0.1"
UNDER_WAY_MAX: Final = 1_000
FRAME_MAX: Final = 128 << 20
STOP_S: Final = 10.0
ANSWERED_S: Final = 5.0
"""For so long a broker may answer somebody who has gone."""
T = TypeVar("T")


class Way(Enum):
    """Requests go to the broker, answers to the worker."""

    TO_BROKER = auto()
    TO_WORKER = auto()


BOTH: Final = frozenset(Way)


class _Frame(NamedTuple):
    content: bytes
    due_s: float

    @property
    def api_key(self) -> int:
        return int.from_bytes(self.content[4:6], "big")


class Held:
    """Requests of one API that are kept on the wire; `seen` are all that came, of which the first `most` are kept."""

    def __init__(self, api_key: int, most: int | None) -> None:
        self._api_key, self._most = api_key, most
        self.seen = 0
        self.released = False

    def takes(self, frame: _Frame) -> bool:
        """Whether this request, the next one, is to wait."""
        if self.released or frame.api_key != self._api_key:
            return False
        self.seen += 1
        return self._most is None or self.seen <= self._most

    @property
    def passed(self) -> int:
        """How many came behind those that are kept, and went through."""
        return 0 if self._most is None else max(0, self.seen - self._most)


class Wire:
    """Ends on this machine, one a broker; `lead_to` ties them to the brokers' second listeners."""

    def __init__(self, brokers: int) -> None:
        self._ends = [_end() for _ in range(brokers)]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._changed = asyncio.Condition()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._servers: list[asyncio.Server] = []
        self._stalled: frozenset[Way] = frozenset()
        self._latency_s = 0.0
        self._refusing = False
        self._held: Held | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the worker's side is, in the brokers' order."""
        return tuple(end.getsockname()[1] for end in self._ends)

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{port}" for port in self.ports)

    def lead_to(self, brokers: Sequence[int]) -> None:
        """Take connections from now on, for the brokers that listen on these ports."""
        self._thread.start()
        for end, port in zip(self._ends, brokers, strict=True):
            self._servers.append(self._ask(asyncio.start_server(self._door(port), sock=end)))

    def close(self) -> None:
        """Break all connections, and take none any more."""
        if self._thread.ident is not None:
            self._ask(self._break_up())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
        for end in self._ends:
            end.close()
        self._loop.close()

    @contextlib.contextmanager
    def stalled(self, ways: frozenset[Way]) -> Iterator[None]:
        """Nothing arrives that way meanwhile, and nobody is told; then all of it does, late."""
        with self._set(_stalled=ways):
            yield

    @contextlib.contextmanager
    def slowed(self, latency_s: float) -> Iterator[None]:
        """Each frame takes so long, one way."""
        with self._set(_latency_s=latency_s):
            yield

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Reset what is connected, and whoever connects meanwhile."""
        with self._set(_refusing=True):
            self.reset()
            yield

    def reset(self) -> int:
        """Reset the worker's connections; what it had sent still arrives. How many those were."""
        return self._ask(self._reset_all())

    @contextlib.contextmanager
    def holding(self, api_key: int, most: int | None = None) -> Iterator[Held]:
        """Keep requests of this API (all, or the first so many), and what follows them; let them through at the end."""
        held = Held(api_key, most)
        with self._set(_held=held):
            try:
                yield held
            finally:
                held.released = True

    @contextlib.contextmanager
    def _set(self, **values: Any) -> Iterator[None]:
        before = {name: getattr(self, name) for name in values}
        self._ask(self._become(values))
        try:
            yield
        finally:
            self._ask(self._become(before))

    async def _become(self, values: dict[str, Any]) -> None:
        async with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._changed.notify_all()

    def _ask(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(STOP_S)

    def _door(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
        async def connected(reader: asyncio.StreamReader, worker: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections[task] = worker
            try:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    if self._refusing:
                        _abort(worker)
                    else:
                        await self._join(reader, worker, port)
            finally:
                del self._connections[task]
                worker.close()

        return connected

    async def _join(self, reader: asyncio.StreamReader, worker: asyncio.StreamWriter, port: int) -> None:
        """Until the broker has gone, or the worker has and all that it sent has arrived."""
        answers, broker = await asyncio.open_connection(HOST, port)
        requests = asyncio.create_task(self._carry(Way.TO_BROKER, reader, broker))
        back = asyncio.create_task(self._carry(Way.TO_WORKER, answers, worker))
        try:
            await asyncio.wait({requests, back}, return_when=asyncio.FIRST_COMPLETED)
            if not back.done():
                broker.write_eof()
                await asyncio.wait({back}, timeout=ANSWERED_S)
        finally:
            for task in (requests, back):
                task.cancel()
            await asyncio.gather(requests, back, return_exceptions=True)
            broker.close()

    async def _carry(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until who sends has ended, and what it sent is delivered; answers to a worker that has gone are dropped."""
        under_way: asyncio.Queue[_Frame | None] = asyncio.Queue(UNDER_WAY_MAX)
        taking = asyncio.create_task(self._take(reader, under_way))
        try:
            while (frame := await under_way.get()) is not None:
                await asyncio.sleep(max(0.0, frame.due_s - self._loop.time()))
                await self._let_through(way, frame)
                with contextlib.suppress(ConnectionError):
                    if not writer.is_closing():
                        writer.write(frame.content)
                        await writer.drain()
        finally:
            taking.cancel()

    async def _take(self, reader: asyncio.StreamReader, under_way: asyncio.Queue[_Frame | None]) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readexactly(4)
                (length,) = struct.unpack(">i", head)
                if not 0 <= length <= FRAME_MAX:
                    break
                content = head + await reader.readexactly(length)
                await under_way.put(_Frame(content, self._loop.time() + self._latency_s))
        await under_way.put(None)

    async def _let_through(self, way: Way, frame: _Frame) -> None:
        held = self._held
        kept = held is not None and way is Way.TO_BROKER and held.takes(frame)
        async with self._changed:
            await self._changed.wait_for(
                lambda: way not in self._stalled and not (kept and held is not None and not held.released)
            )

    async def _reset_all(self) -> int:
        there = list(self._connections.values())
        for worker in there:
            _abort(worker)
        return len(there)

    async def _break_up(self) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _end() -> socket.socket:
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.bind((HOST, 0))
    return end


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close at once, with a reset and not in good order."""
    found = writer.get_extra_info("socket")
    if found is not None and not writer.is_closing():
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
