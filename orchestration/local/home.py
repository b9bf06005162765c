"""The folder HEADRACE_HOME: who holds it, what its holder started, and Dagster's folder in it.

<home>/up.lock    held while `headrace up` runs; the kernel releases it whatever happens
<home>/up.json    which processes it started, for the next `up` after a kill -9
<home>/dagster    DAGSTER_HOME; closed to other users, because it has the UI's key and the logs of runs
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import psutil

import orchestration
from orchestration.errors import HeadraceError
from orchestration.local.front_door import Keys

HOST = "127.0.0.1"
# Name of the code location: Dagster keeps the state of sensors under it.
LOCATION = "orchestration.definitions"

_RECORD = "up.json"
_KEY = "ui.key"
_KEY_BYTES = 32
# A unix socket's path may have 107 bytes, on some systems fewer.
_LONGEST_SOCKET = 100


@contextlib.contextmanager
def sole_up(home: Path, port: int) -> Iterator[None]:
    """Holds this home's lock.

    Raises:
        HeadraceError: another `up` holds it, or the folder cannot be used.
    """
    path = home / "up.lock"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise HeadraceError(
            f"The folder {home} cannot be used ({error.strerror}: {error.filename}): "
            "run as its owner, or name another one in HEADRACE_HOME."
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 100).decode(errors="replace").strip() or "unknown"
            record = read_record(home)
            ui = record.get("ui")
            raise HeadraceError(
                f"Another `headrace up` (process {holder}) runs for {home}"
                f"{f', with its UI on {ui}{_link(home, record)}' if ui else ''}: "
                "use that one or end it, or give this one a folder of its own in HEADRACE_HOME"
                f"{f' and another --port than {port}' if str(ui).endswith(f':{port}') else ''}."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _link(home: Path, record: Mapping[str, object]) -> str:
    """The rest of the address that opens the UI of a running `up`; empty if we may not read the key."""
    run = record.get("run")
    try:
        return f"/?token={Keys(read_key(home), run).token}" if isinstance(run, str) else ""
    except HeadraceError:
        return ""


def identity(pid: int) -> dict[str, float] | None:
    """A process by id and start time, because ids are reused; None if there is no such process."""
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.Error:
        return None


def is_recorded(recorded: object, pid: int) -> bool:
    """Whether this process is the server that an earlier `up` recorded."""
    if recorded == "starting":
        return True
    now = identity(pid)
    if not isinstance(recorded, dict) or now is None or recorded.get("pid") != pid:
        return False
    # Start times are computed from the boot time, which the kernel gives in whole seconds and not always the same.
    return abs(float(recorded.get("started", 0)) - now["started"]) < 2


def write_record(home: Path, record: Mapping[str, object]) -> None:
    """Records what the holder of this home's lock started, completely or not at all."""
    path = home / _RECORD
    unfinished = path.with_suffix(".json.new")
    unfinished.write_text(json.dumps(record, indent=2) + "\n")
    unfinished.replace(path)


def drop_record(home: Path) -> None:
    (home / _RECORD).unlink(missing_ok=True)


def read_record(home: Path) -> dict[str, object]:
    """What an earlier holder recorded; empty if it ended in order, or if there was none."""
    try:
        record = json.loads((home / _RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def private_folder(folder: Path) -> Path:
    """Creates the folder, or makes an existing one private to its owner.

    Raises:
        HeadraceError: it belongs to another user.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise HeadraceError(
            f"The folder {folder} cannot be used ({error.strerror}): run as its owner, or name another HEADRACE_HOME."
        ) from None
    return folder


def make_key(home: Path) -> bytes:
    """The secret of the UI's front door, created at first use. Deleting it locks out all browsers."""
    path = private_folder(home / "dagster") / _KEY
    with contextlib.suppress(FileExistsError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as new:
            new.write(secrets.token_hex(_KEY_BYTES).encode())
    return read_key(home)


def read_key(home: Path) -> bytes:
    """The secret that `make_key` made.

    Raises:
        HeadraceError: it is missing or incomplete.
    """
    path = home / "dagster" / _KEY
    try:
        key = path.read_bytes()
    except OSError as error:
        raise HeadraceError(f"The key of Dagster's UI, {path}, cannot be read ({error.strerror}).") from None
    if len(key) < 2 * _KEY_BYTES:
        raise HeadraceError(f"The key of Dagster's UI is cut short: delete {path} and start again.")
    return key


@contextlib.contextmanager
def code_socket(home: Path) -> Iterator[Path]:
    """Where the code server listens: in a private folder, because everybody who reaches it can run any code."""
    path = private_folder(home / "dagster") / "code.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        path.unlink(missing_ok=True)
        yield path
        path.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="headrace-") as short:
        yield Path(short) / "code.sock"


def write_workspace(dagster_home: Path, code: Path) -> Path:
    """What the daemon loads: the code server behind that socket."""
    path = dagster_home / "workspace.yaml"
    server = {"socket": str(code), "location_name": LOCATION}
    path.write_text(json.dumps({"load_from": [{"grpc_server": server}]}) + "\n", encoding="utf-8")
    return path


def make_dagster_home(home: Path) -> Path:
    """DAGSTER_HOME with the project's dagster.yaml in it: from the wheel, or from the root of a clone."""
    folder = private_folder(home / "dagster")
    installed = files("orchestration.local").joinpath("dagster.yaml")
    cloned = Path(orchestration.__file__).resolve().parent.parent / "dagster.yaml"
    if installed.is_file():
        text = installed.read_text(encoding="utf-8")
    elif cloned.is_file():
        text = cloned.read_text(encoding="utf-8")
    else:
        raise HeadraceError("dagster.yaml is missing from this installation: install headrace again.")
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    return folder
