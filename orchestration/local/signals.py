"""What a foreground process needs to end in order: its ending signals. Also whether a port is free to listen on."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
from collections.abc import Iterator
from types import FrameType

from orchestration.errors import HeadraceError
from orchestration.local.home import HOST

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turns the ending signals into KeyboardInterrupt, even where a shell set SIGINT to be ignored (`up &`)."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_port(port: int) -> None:
    """Raises HeadraceError unless the UI could listen on the port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last run's closed connections
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise HeadraceError(
                    f"Port {port} on {HOST} is in use by another program: "
                    "end it, or choose another one with --port."
                ) from None
            raise HeadraceError(
                f"Port {port} on {HOST} cannot be used ({error.strerror}): choose another one with --port."
            ) from None
