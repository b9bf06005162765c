"""Where a home's embedded server is: its paths, its lock, its socket, and the mark of its processes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestration.errors import HeadraceError
from orchestration.settings import socket_url

PORT = 5432  # nobody listens there: it only names the socket
SOCKET_NAME = f".s.PGSQL.{PORT}"


@dataclass(frozen=True)
class Place:
    """The paths of one home's server, and the mark that distinguishes its processes from all others."""

    home: Path
    folder: Path
    data: Path
    log: Path
    lock: Path
    mark: str

    @classmethod
    def of(cls, home: Path) -> Place:
        """The place in a home, whether or not there is anything in it."""
        home = home.resolve()
        folder = home / "postgres"
        data = folder / "data"
        # It is the server's cluster_name, and so appears in the title of each of its processes, for everybody to see. The working
        # folder of another user's process cannot be read in a container without CAP_SYS_PTRACE.
        mark = f"headrace-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
        return cls(home, folder, data, folder / "server.log", home / "postgres.lock", mark)


def socket_url_of(socket_folder: Path, database: str) -> str:
    """The URL of a database through its server's socket."""
    # The port is part of the socket's name; left out, it would come from PGPORT.
    return f"{socket_url(socket_folder, database)}&port={PORT}"


@contextlib.contextmanager
def locked(place: Place) -> Iterator[None]:
    """Holds the home's lock. The kernel releases it when the holder dies, in whatever way."""
    try:
        place.home.mkdir(parents=True, exist_ok=True)
        lock = os.open(place.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise HeadraceError(_unusable(place.home, error)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise HeadraceError(_unusable(place.home, error)) from None
    finally:
        os.close(lock)


def _unusable(home: Path, error: OSError) -> str:
    return (
        f"The folder {home} cannot be used for the embedded PostgreSQL ({error.strerror}: {error.filename}): "
        "run as its owner, or name another folder in HEADRACE_HOME."
    )


def short_folder(place: Place) -> Path:
    """Where the socket is if the home's path is too long for one."""
    return Path("/tmp") / place.mark
