"""The embedded PostgreSQL: a wheel's server, run under `<home>/postgres`, with only a unix socket.

Here: making sure that it runs, or that it does not. Not here: its files (`cluster.py`), its processes (`postmaster.py`), its
databases (`databases.py`), which database a command acts on (`target.py`).

    <home>/postgres.lock     held while somebody starts or stops the server
    <home>/postgres/data     the cluster; a rename makes it appear complete
    <home>/postgres/server.log
    <home>/postgres/.s.PGSQL.5432   the socket, or in /tmp if this path would be too long for one

PostgreSQL refuses to run as root. Started by root, it runs as the owner of the cluster, at first the system user
`pgserver`. That user must be able to reach the cluster: every parent folder gets the right to be passed (o+x), but not
to be listed.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestration.errors import HeadraceError
from orchestration.local.account import account_of
from orchestration.local.cluster import START_SECONDS, failed_to_start, make_cluster, start_cluster
from orchestration.local.databases import make_databases
from orchestration.local.place import Place, locked, short_folder, socket_url_of
from orchestration.local.postmaster import (
    accepts,
    answers,
    end_processes,
    find_postmaster,
    find_processes,
    read_pid_file,
)
from orchestration.local.processes import lives, wait_until_gone

_STOP_SECONDS = 60


@dataclass(frozen=True)
class EmbeddedServer:
    """A running embedded server.

    Attributes:
        data: the cluster's folder.
        pid: process id of its postmaster.
        socket_folder: where its unix socket is.
    """

    data: Path
    pid: int
    socket_folder: Path

    def url(self, database: str) -> str:
        """`postgresql://postgres@/<database>?host=<socket folder>&port=5432`, for every client of ours."""
        return socket_url_of(self.socket_folder, database)


def ensure_server(home: Path) -> EmbeddedServer:
    """Returns the server of this home, created and started if need be, with databases `app` and `dagster`.

    Any number of processes may call it at once. The server outlives its callers. Whatever kill -9 left behind is cleared: lock
    files whose process id now belongs to another process, orphaned backends, a half-made cluster.

    Raises:
        HeadraceError: the folder cannot be used, the server does not start, or its cluster has another major
            version.
    """
    place = Place.of(home)
    with locked(place):
        server = _wait_until_settled(place)
        if server is None:
            account = account_of(place)
            end_processes(find_processes(place))
            make_cluster(place, account)
            start_cluster(place, account)
            server = _find(place)
            if server is None:
                raise failed_to_start(place)
        make_databases(place, server.url("postgres"), server.pid)
    return server


def running_server(home: Path) -> EmbeddedServer | None:
    """The server of this home if it is running and accepts connections; changes nothing."""
    try:
        return _find(Place.of(home))
    except PermissionError:
        return None


def stop_server(home: Path) -> None:
    """Stops the server of this home, if it is running: rolls back open transactions and writes out the data.

    Raises:
        HeadraceError: it belongs to another user.
    """
    place = Place.of(home)
    if not place.folder.exists():
        return
    with locked(place):
        info = read_pid_file(place)
        if info is not None and (postmaster := find_postmaster(place, info.pid)) is not None:
            try:
                # Do not ask a recovering server to shut down cleanly: asked while it starts again, PostgreSQL 18 hangs.
                # "Immediate" loses nothing, because the next start recovers once more.
                if answers(info):
                    postmaster.send_signal(signal.SIGINT)  # "fast": what `pg_ctl stop -m fast` sends
                    wait_until_gone([postmaster], _STOP_SECONDS)
                if lives(postmaster):
                    postmaster.send_signal(signal.SIGQUIT)
                    wait_until_gone([postmaster], 10)
            except psutil.NoSuchProcess:
                pass
            except psutil.AccessDenied:
                raise HeadraceError(
                    f"The embedded PostgreSQL (process {info.pid}) belongs to another user: "
                    "stop it as that user."
                ) from None
        end_processes(find_processes(place))
        with contextlib.suppress(OSError):
            short_folder(place).rmdir()


def _find(place: Place) -> EmbeddedServer | None:
    info = read_pid_file(place)
    if info is None or info.status != "ready" or info.socket_folder is None:
        return None
    if find_postmaster(place, info.pid) is None or not accepts(info.socket_folder):
        return None
    return EmbeddedServer(place.data, info.pid, info.socket_folder)


def _wait_until_settled(place: Place) -> EmbeddedServer | None:
    """Waits while a server of ours starts or stops. None: none is running, or none that can be reached."""
    deadline = time.monotonic() + START_SECONDS
    unreachable_since: float | None = None
    while time.monotonic() < deadline:
        if (server := _find(place)) is not None:
            return server
        info = read_pid_file(place)
        if info is None or find_postmaster(place, info.pid) is None:
            return None
        if info.status == "ready":
            # Its socket was removed, or the server has just gone: give it a moment, then replace it.
            unreachable_since = unreachable_since or time.monotonic()
            if time.monotonic() - unreachable_since > 1:
                return None
        time.sleep(0.05)
    raise HeadraceError(
        f"The embedded PostgreSQL has been starting for {START_SECONDS} s: see {place.log}, "
        "or end its processes and try again."
    )
