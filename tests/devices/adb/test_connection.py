from __future__ import annotations

import math
import socket
import threading

import pytest

from devices.adb.connection import MAX_REQUEST_BYTES, Connection, Deadline
from devices.adb.failures import PhoneLost, ServerLost


def test_a_deadline_gives_what_is_left_and_then_nothing() -> None:
    now = 10.0
    deadline = Deadline(2.0, lambda: now)
    now = 11.5
    assert deadline.left_s() == 0.5
    assert deadline.spent_s == 1.5
    for now in (12.0, 12.1):  # noqa: B007  # the clock reads it
        with pytest.raises(TimeoutError):
            deadline.left_s()


def test_without_a_deadline_nothing_is_counted() -> None:
    assert Deadline(math.inf).left_s() is None


def test_each_use_of_the_socket_gets_what_is_left() -> None:
    now = 0.0
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Connection("127.0.0.1", listener.getsockname()[1], Deadline(10.0, lambda: now)) as connection,
    ):
        assert connection.socket.gettimeout() == 10.0
        now = 9.0
        assert connection.socket.gettimeout() == 1.0
        now = 10.5
        with pytest.raises(TimeoutError):
            connection.receive()


def test_a_deadline_that_is_over_opens_nothing() -> None:
    now = 5.0
    deadline = Deadline(0.0, lambda: now)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimeoutError):
        Connection("127.0.0.1", listener.getsockname()[1], deadline)


def test_nobody_there_is_a_lost_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ServerLost, match="ADB03"):
        Connection("127.0.0.1", port, Deadline(5.0))


def test_bytes_that_come_in_pieces_are_put_together_and_an_early_end_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                for piece in (b"OK", b"AY00", b"05he", b"llo", b"half"):
                    peer.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        with Connection("127.0.0.1", listener.getsockname()[1], Deadline(5.0)) as connection:
            assert connection.exactly(4) == b"OKAY"
            assert connection.block() == "hello"
            with pytest.raises(EOFError, match="4 of 9"):
                connection.exactly(9)
        thread.join()


def test_a_request_too_long_for_its_length_is_never_sent() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Connection("127.0.0.1", listener.getsockname()[1], Deadline(5.0)) as connection,
        pytest.raises(ValueError, match="65535"),
    ):
        connection.request("x" * (MAX_REQUEST_BYTES + 1))


@pytest.mark.parametrize("answer", [b"WHAT", b"OKAYxyz!"])
def test_an_answer_that_is_none_is_told(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with Connection("127.0.0.1", listener.getsockname()[1], Deadline(5.0)) as connection:
            with pytest.raises(PhoneLost, match="ADB27"):
                connection.request("host:version")
                connection.block()
        thread.join()
