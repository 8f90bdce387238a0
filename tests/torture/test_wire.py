"""The wire between a worker and the brokers: what is sent arrives once and in order, however late."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Final

import pytest

from pipelines.torture.wire import BOTH, END_TRANSACTION, HOST, Way, Wire

FETCH: Final = 1
PATIENCE_S: Final = 20.0
SILENCE_S: Final = 0.3
"""Long enough for what is let through to come, on any machine; what must not come has so long to do it."""


def request(api_key: int, text: bytes) -> bytes:
    return struct.pack(">ih", len(text) + 2, api_key) + text


class Broker:
    """Takes frames, and answers each with its own bytes."""

    def __init__(self) -> None:
        self.came: Queue[bytes] = Queue()
        self._door = socket.create_server((HOST, 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._take_in, daemon=True).start()

    def _take_in(self) -> None:
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while frame := read(connection):
                    self.came.put(frame)
                    connection.sendall(frame)
            except OSError:
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()


def read(connection: socket.socket) -> bytes:
    """The next frame; nothing at the end."""
    content = b""
    wanted = 4
    while len(content) < wanted:
        part = connection.recv(wanted - len(content))
        if not part:
            return b""
        content += part
        if len(content) == 4:
            wanted = 4 + int.from_bytes(content, "big")
    return content


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.close()


@pytest.fixture
def wire(broker: Broker) -> Iterator[Wire]:
    wire = Wire(1)
    wire.lead_to([broker.port])
    yield wire
    wire.close()


@pytest.fixture
def connect(wire: Wire) -> Iterator[Callable[[], socket.socket]]:
    made: list[socket.socket] = []

    def connecting() -> socket.socket:
        made.append(socket.create_connection((HOST, wire.ports[0]), timeout=PATIENCE_S))
        return made[-1]

    yield connecting
    for one in made:
        one.close()


Connect = Callable[[], socket.socket]


def nothing_comes(broker: Broker) -> bool:
    try:
        broker.came.get(timeout=SILENCE_S)
    except Empty:
        return True
    return False


def turned_away(connect: Connect) -> bool:
    try:
        worker = connect()
        worker.sendall(request(FETCH, b"no"))
        return read(worker) == b""
    except ConnectionError:
        return True


def test_what_is_sent_arrives_in_order_and_is_answered(broker: Broker, connect: Connect) -> None:
    worker = connect()
    sent = [request(FETCH, bytes([n]) * n * 1_000) for n in range(50)]

    worker.sendall(b"".join(sent))

    assert [read(worker) for _ in sent] == sent
    assert [broker.came.get(timeout=PATIENCE_S) for _ in sent] == sent


def test_a_held_end_of_a_transaction_keeps_what_follows_it_and_lets_go_before_it_by_other_ways(
    broker: Broker, wire: Wire, connect: Connect
) -> None:
    worker, other = connect(), connect()
    end, behind, beside = request(END_TRANSACTION, b"1"), request(FETCH, b"2"), request(FETCH, b"3")
    with wire.holding(END_TRANSACTION) as held:
        worker.sendall(end + behind)
        other.sendall(beside)
        assert broker.came.get(timeout=PATIENCE_S) == beside
        assert nothing_comes(broker)
        assert held.seen == 1

    assert [broker.came.get(timeout=PATIENCE_S) for _ in "ab"] == [end, behind]


def test_an_end_that_was_held_comes_behind_its_own_repetition(
    broker: Broker, wire: Wire, connect: Connect
) -> None:
    first, again = request(END_TRANSACTION, b"first"), request(END_TRANSACTION, b"again")
    with wire.holding(END_TRANSACTION, most=1) as held:
        gives_up = connect()
        gives_up.sendall(first)
        assert nothing_comes(broker)
        gives_up.close()
        connect().sendall(again)
        assert broker.came.get(timeout=PATIENCE_S) == again
        assert held.passed == 1

    assert broker.came.get(timeout=PATIENCE_S) == first


def test_ends_of_transactions_can_be_counted_without_being_held(
    broker: Broker, wire: Wire, connect: Connect
) -> None:
    worker, end = connect(), request(END_TRANSACTION, b"1")
    with wire.holding(END_TRANSACTION, most=0) as counted:
        worker.sendall(end)
        assert read(worker) == end

    assert counted.seen == 1


@pytest.mark.parametrize("ways", [frozenset({Way.TO_BROKER}), BOTH])
def test_what_a_cut_keeps_arrives_behind_it(
    ways: frozenset[Way], broker: Broker, wire: Wire, connect: Connect
) -> None:
    worker, sent = connect(), request(FETCH, b"late")
    with wire.stalled(ways):
        worker.sendall(sent)
        assert nothing_comes(broker)

    assert broker.came.get(timeout=PATIENCE_S) == sent
    assert read(worker) == sent


def test_with_the_answers_alone_cut_requests_arrive(broker: Broker, wire: Wire, connect: Connect) -> None:
    worker, sent = connect(), request(FETCH, b"asked")
    worker.settimeout(SILENCE_S)
    with wire.stalled(frozenset({Way.TO_WORKER})):
        worker.sendall(sent)
        assert broker.came.get(timeout=PATIENCE_S) == sent
        with pytest.raises(TimeoutError):
            read(worker)

    worker.settimeout(PATIENCE_S)
    assert read(worker) == sent


def test_a_reset_is_told_and_what_was_sent_before_it_still_arrives(
    broker: Broker, wire: Wire, connect: Connect
) -> None:
    worker, sent = connect(), request(FETCH, b"before")
    with wire.stalled(BOTH):
        worker.sendall(sent)
        assert nothing_comes(broker)
        assert wire.reset() == 1
        with pytest.raises(ConnectionResetError):
            read(worker)

    assert broker.came.get(timeout=PATIENCE_S) == sent


def test_whoever_connects_while_it_refuses_is_turned_away_and_comes_in_behind_it(
    broker: Broker, wire: Wire, connect: Connect
) -> None:
    with wire.refusing():
        assert turned_away(connect)
        assert nothing_comes(broker)

    worker, sent = connect(), request(FETCH, b"yes")
    worker.sendall(sent)
    assert read(worker) == sent


def test_a_slow_wire_delays_both_ways(wire: Wire, connect: Connect) -> None:
    worker = connect()
    sent = [request(FETCH, bytes([n])) for n in range(20)]
    began = time.monotonic()
    with wire.slowed(0.25):
        worker.sendall(b"".join(sent))
        assert [read(worker) for _ in sent] == sent

    assert time.monotonic() - began >= 0.5, "there and back"


def test_a_broker_that_has_gone_is_told_to_the_worker(broker: Broker, wire: Wire, connect: Connect) -> None:
    broker.close()

    assert turned_away(connect)


def test_what_is_no_frame_of_kafkas_ends_the_connection(broker: Broker, connect: Connect) -> None:
    worker = connect()

    worker.sendall(b"GET / HTTP/1.1\r\n\r\n")

    assert read(worker) == b""
    assert nothing_comes(broker)
