"""The embedded server's processes: finding them by their mark, asking whether they answer, ending them."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from orchestration.database.sessions import open_bare
from orchestration.errors import HeadraceError
from orchestration.local.place import SOCKET_NAME, Place, socket_url_of
from orchestration.local.processes import wait_until_gone

RECOVERING = "the database system is"  # … starting up, in recovery mode, not yet accepting connections


@dataclass(frozen=True)
class PidFile:
    pid: int
    socket_folder: Path | None
    status: str


def read_pid_file(place: Place) -> PidFile | None:
    """The content of postmaster.pid; None if it is missing or incomplete."""
    try:
        lines = (place.data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        pid = int(lines[0])
    except (IndexError, ValueError):
        return None
    folder = Path(lines[4]) if len(lines) > 4 and lines[4] else None
    return PidFile(pid, folder, lines[7].strip() if len(lines) > 7 else "starting")


def find_postmaster(place: Place, pid: int) -> psutil.Process | None:
    """The process with this id if it is this home's postmaster, and not one that got the id later."""
    try:
        process = psutil.Process(pid)
        return process if _bears_mark(process, place) else None
    except psutil.Error:
        return None


def find_processes(place: Place) -> list[psutil.Process]:
    """Every living process of this home's server, found by its mark, including a dead postmaster's orphans."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and _bears_mark(process, place):
                found.append(process)
    return found


def _bears_mark(process: psutil.Process, place: Place) -> bool:
    if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
        return False
    return any(place.mark in part for part in process.cmdline()) and _in_our_container(process.pid)


def _in_our_container(pid: int) -> bool:
    """False for a process known to be in another container, where the same path is another folder."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return True


def accepts(socket_folder: Path) -> bool:
    """Whether somebody listens on the socket; deliberately says nothing about free connection slots."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(str(socket_folder / SOCKET_NAME))
        except (BlockingIOError, TimeoutError):
            return True  # somebody does, with a full queue of clients
        except OSError:
            return False
    return True


def answers(info: PidFile) -> bool:
    """Whether it is up and not recovering; a server without free connection slots counts as up."""
    if info.status != "ready" or info.socket_folder is None:
        return False
    try:
        open_bare(socket_url_of(info.socket_folder, "postgres")).close()
    except psycopg.OperationalError as error:
        return "FATAL" in str(error) and RECOVERING not in str(error)
    return True


def end_processes(processes: list[psutil.Process]) -> None:
    """Kills the remains of a server that is dead or unreachable; the next start recovers its data."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            raise HeadraceError(
                f"Process {process.pid} of the embedded PostgreSQL belongs to another user: "
                "end it as that user."
            ) from None
    if left := wait_until_gone(processes, 10):
        ids = ", ".join(str(process.pid) for process in left)
        raise HeadraceError(f"Left-over processes of the embedded PostgreSQL do not end: {ids}.")
