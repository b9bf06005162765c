"""The embedded server's cluster: created whole or not at all, configured, started."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from orchestration.errors import HeadraceError
from orchestration.local.account import Account
from orchestration.local.place import PORT, SOCKET_NAME, Place, short_folder
from orchestration.local.wheel import MAJOR, program_folder, wheel

_SOCKET_PATH_LIMIT = 103 if sys.platform == "darwin" else 107  # bytes of sun_path without its final zero
START_SECONDS = 900  # a crash recovery replays up to max_wal_size; it takes long but is not stuck
_LOG_LIMIT = 10_000_000  # bytes
_SMALL_SHARED_MEMORY = 512_000_000  # bytes; containers get 64 MB by default, too little for parallel queries

_CONF = """\
# Written at every start by Headrace; for settings of your own use ALTER SYSTEM.
listen_addresses = ''
port = {port}
unix_socket_directories = {socket_folder}
unix_socket_permissions = 0700
max_connections = 200
timezone = 'UTC'

shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 256MB
effective_cache_size = 1GB
dynamic_shared_memory_type = {shared_memory}
random_page_cost = 1.1
jit = off

max_wal_size = 4GB
min_wal_size = 256MB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
max_logical_replication_workers = 0

autovacuum_naptime = 15s
autovacuum_vacuum_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.02

track_io_timing = on
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d %a '
log_checkpoints = off
log_lock_waits = on
log_temp_files = 256MB
log_min_duration_statement = 10s
log_parameter_max_length = 0
"""


def _open_way(folder: Path) -> None:
    """Lets PostgreSQL's own user pass through the parents of this folder, and with it other users."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def make_cluster(place: Place, account: Account) -> None:
    """Creates the folder and the cluster if they are missing; an existing cluster must have our version."""
    binaries = program_folder()
    place.folder.mkdir(mode=0o700, exist_ok=True)
    if account.switch:
        _open_way(place.folder)
        _open_way(binaries)
        if not (binaries / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
            readable = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH
            wheel().ensure_folder_permissions(binaries.parent, readable)
        os.chown(place.folder, account.uid, account.gid)

    version = place.data / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != str(MAJOR):
            raise HeadraceError(
                f"The cluster in {place.data} was made by PostgreSQL {found}, this Headrace brings {MAJOR}: "
                "move the folder away to start anew, or name another one in HEADRACE_HOME."
            )
        return
    if place.data.exists():
        raise HeadraceError(
            f"{place.data} is not a PostgreSQL cluster: "
            "move it away, or name another folder in HEADRACE_HOME."
        )

    # An initdb killed halfway leaves a folder that looks like a cluster. So it runs elsewhere, and a rename makes the cluster.
    unfinished = place.folder / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    made = _run(
        place,
        account,
        [
            *(
                str(binaries / "initdb"),
                f"--pgdata={unfinished.name}",
                "--username=postgres",
                "--encoding=UTF8",
            ),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=trust", "--auth-host=reject"),
        ],
    )
    if made.returncode != 0:
        raise HeadraceError(
            f"PostgreSQL could not make its data folder in {place.folder}: {_last_words(made.stdout)}"
        )
    with (unfinished / "postgresql.conf").open("a") as conf:
        conf.write("\ninclude_if_exists = 'headrace.conf'\n")
    unfinished.rename(place.data)


def start_cluster(place: Place, account: Account) -> None:
    """Starts the server and waits until it accepts connections, through a crash recovery if need be.

    Call it when no process of the server is alive: then its lock files are stale. They must go, because their process ids may
    by now belong to other processes, which PostgreSQL would take for its own. Two servers in one cluster are still impossible:
    the key of the shared memory comes from the data folder, not from the lock file.
    """
    socket_folder = _socket_folder(place, account)
    for stale in (
        place.data / "postmaster.pid",
        socket_folder / SOCKET_NAME,
        socket_folder / f"{SOCKET_NAME}.lock",
    ):
        stale.unlink(missing_ok=True)
    conf = place.data / "headrace.conf"
    conf.write_text(
        _CONF.format(
            port=PORT, socket_folder=_quoted_folder(socket_folder), shared_memory=_shared_memory_type()
        )
    )
    conf.chmod(0o600)
    if account.switch:
        os.chown(conf, account.uid, account.gid)
    if place.log.exists() and place.log.stat().st_size > _LOG_LIMIT:
        place.log.replace(place.log.with_suffix(".log.1"))

    started = _run(
        place,
        account,
        [
            *(str(program_folder() / "pg_ctl"), "start", "--silent", "--wait", f"--timeout={START_SECONDS}"),
            *(
                f"--pgdata={place.data.name}",
                f"--log={place.log.name}",
                f"--options=-c cluster_name={place.mark}",
            ),
        ],
    )
    if started.returncode != 0:
        raise failed_to_start(place)


def failed_to_start(place: Place) -> HeadraceError:
    """The error for a server that did not start, with the last words of its log."""
    try:
        words = _last_words(place.log.read_text(errors="replace"))
    except OSError:
        words = "it left no log"
    return HeadraceError(f"The embedded PostgreSQL did not start: {words} (log: {place.log})")


def _last_words(output: str) -> str:
    """The last lines of a tool's output, without their time stamps."""
    lines = [re.sub(r"^\S+ \S+ UTC \[\d+\]\s+", "", line.strip()) for line in output.splitlines()]
    return " ".join([line for line in lines if line][-4:]) or "no reason given"


def _socket_folder(place: Place, account: Account) -> Path:
    """The server's own folder, or a private one with a short name if the path does not suit a socket.

    Raises:
        HeadraceError: the short name belongs to another user.
    """
    fits = len(os.fsencode(place.folder / SOCKET_NAME)) <= _SOCKET_PATH_LIMIT
    if fits and "," not in str(place.folder):  # in libpq a comma starts another host
        return place.folder
    short = short_folder(place)
    try:
        short.mkdir(mode=0o700)
        if account.switch:
            os.chown(short, account.uid, account.gid)
    except FileExistsError:
        found = short.lstat()
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != account.uid
            or stat.S_IMODE(found.st_mode) & 0o077
        ):
            raise HeadraceError(
                f"{short}, the folder for the server's socket, belongs to somebody else: "
                "remove it, or name a folder with a shorter path in HEADRACE_HOME."
            ) from None
    return short


def _quoted_folder(folder: Path) -> str:
    """A folder as one element of a list in postgresql.conf: commas and quotes in it are escaped."""
    element = '"' + str(folder).replace('"', '""') + '"'
    return "'" + element.replace("\\", "\\\\").replace("'", "''") + "'"


def _shared_memory_type() -> str:
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return "posix"
    return "posix" if found.f_blocks * found.f_frsize >= _SMALL_SHARED_MEMORY else "mmap"


def _run(place: Place, account: Account, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs one of PostgreSQL's tools as the server's user; both kinds of its output are in `stdout`.

    It runs in the server's folder and takes relative paths. pg_ctl puts paths between double quotes and passes them to a
    shell, which would interpret a `$` or a quote in a parent folder's name.
    """
    # PGDATA, PGOPTIONS and the like are meant for other servers. Our own variables hold passwords, and are no business of this one.
    others = ("PG", "HEADRACE_", "DAGSTER_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(others)} | {"LC_ALL": "C"}
    output = place.folder / "tool.log"
    # A file, not a pipe: a pipe would stay open, and we would wait, as long as the server that inherits it lives.
    with output.open("w+") as sink:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=place.folder,
            env=env,
            start_new_session=True,  # Ctrl-C is for us, not for a server that starts
            umask=0o077,
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=[] if account.switch else None,
            check=False,
        )
        sink.seek(0)
        text = sink.read()
    output.unlink(missing_ok=True)
    return subprocess.CompletedProcess(command, done.returncode, stdout=text)
