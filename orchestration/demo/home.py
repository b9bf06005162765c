"""The folder HEADRACE_HOME: who holds it, what its holder started, and Dagster's folder in it.

<home>/up.lock    held as long as `headrace up` runs; the kernel lets go of it whatever happens
<home>/up.json    which processes it started, for the next one after a kill -9
<home>/dagster    DAGSTER_HOME
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import psutil

import orchestration
from orchestration.errors import HeadraceError

_RECORD = "up.json"


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
            ui = read_record(home).get("ui")
            raise HeadraceError(
                f"Another `headrace up` (process {holder}) runs for {home}"
                f"{f', with its UI on {ui}' if ui else ''}: "
                "use that one or end it, or give this one a folder of its own in HEADRACE_HOME"
                f"{f' and another --port than {port}' if str(ui).endswith(f':{port}') else ''}."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def identity(pid: int) -> dict[str, float] | None:
    """A process by id and start time, for an id alone is somebody else's one day; None if there is none."""
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.Error:
        return None


def is_recorded(recorded: object, pid: int) -> bool:
    """Whether the server of an earlier `up`, as it was written down, is this process."""
    if recorded == "starting":
        return True
    now = identity(pid)
    if not isinstance(recorded, dict) or now is None or recorded.get("pid") != pid:
        return False
    # Start times are reckoned from the boot time, which the kernel gives to the second, not always the same.
    return abs(float(recorded.get("started", 0)) - now["started"]) < 2


def write_record(home: Path, record: Mapping[str, object]) -> None:
    """Writes down what the holder of this home's lock started, whole or not at all."""
    path = home / _RECORD
    unfinished = path.with_suffix(".json.new")
    unfinished.write_text(json.dumps(record, indent=2) + "\n")
    unfinished.replace(path)


def drop_record(home: Path) -> None:
    (home / _RECORD).unlink(missing_ok=True)


def read_record(home: Path) -> dict[str, object]:
    """What an earlier holder wrote down; empty if it ended in order, or never was."""
    try:
        record = json.loads((home / _RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def make_dagster_home(home: Path) -> Path:
    """DAGSTER_HOME with the project's dagster.yaml in it: from the wheel, or from the root of a clone."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    installed = files("orchestration.demo").joinpath("dagster.yaml")
    cloned = Path(orchestration.__file__).resolve().parent.parent / "dagster.yaml"
    if installed.is_file():
        text = installed.read_text(encoding="utf-8")
    elif cloned.is_file():
        text = cloned.read_text(encoding="utf-8")
    else:
        raise HeadraceError("dagster.yaml is missing from this installation: install headrace again.")
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    return folder
