"""Child processes of `headrace up`: logged, restarted, ended with all they started, found again after kill -9.

Every child, and everything it starts, inherits one environment variable that names its home. The holder of the home's lock
may treat all processes with that variable as left-overs: no other `up` is alive that could own them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from orchestration.local.home import private_folder
from orchestration.local.processes import wait_until_gone

MARK = "HEADRACE_UP"

_LOG_LIMIT = 10_000_000  # bytes
_GRACE_SECONDS = 15
_STEADY_SECONDS = 60  # a child that lived this long starts again without delay
_LONGEST_BACKOFF = 30


@dataclass
class Child:
    """One supervised program. `start` it, then call `exit_code` or `revive` from time to time.

    Attributes:
        name: shown to people.
        command: program and arguments.
        env: its whole environment; the mark of `home` is added.
        log: file to which its output is appended.
        patient: whether to wait for it to end. A slow program that keeps nothing is killed together with the others.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    home: Path
    log: Path
    patient: bool = True
    process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _failures: int = 0
    _due: float | None = field(default=None, repr=False)

    def start(self) -> None:
        """Starts it in a separate session: Ctrl-C in the terminal reaches only us, and we end it."""
        private_folder(self.log.parent)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.env, MARK: str(self.home)},
                start_new_session=True,
                umask=0o077,  # logs of runs, sockets: for nobody else
            )
        self._started = time.monotonic()
        self._due = None

    def exit_code(self) -> int | None:
        """None while it is running."""
        return None if self.process is None else self.process.poll()

    def revive(self, say: Callable[[str], None]) -> bool:
        """Restarts it if it ended, after a delay that doubles with each quick end; returns whether it did."""
        code = self.exit_code()
        if code is None:
            return False
        now = time.monotonic()
        if self._due is None:
            steady = now - self._started >= _STEADY_SECONDS
            self._failures = 0 if steady else self._failures + 1
            delay = 0 if steady else min(2 ** (self._failures - 1), _LONGEST_BACKOFF)
            self._due = now + delay
            say(f"The {self.name} ended ({_how(code)}), it starts again in {delay} s: see {self.log}")
        if now < self._due:
            return False
        self._signal(signal.SIGKILL)  # what is left of the dead one's group
        self.start()
        return True

    def _signal(self, number: int) -> None:
        if self.process is not None:
            # A session's leader also leads a process group with the same id, which outlives it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


def describe_exit(child: Child) -> str:
    """How it ended, and the last lines of its log."""
    code = child.exit_code()
    how = "still running" if code is None else _how(code)
    try:
        with child.log.open("rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - 2000, 0))
            lines = [
                line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()
            ]
    except OSError:
        lines = []
    return f"{how}; its last words: {lines[-1]}" if lines else how


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"


def end_all(children: Iterable[Child], home: Path) -> None:
    """Ends the children and everything they started: asks first, kills after 15 s."""
    children = list(children)
    for child in children:
        child._signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(
        child.patient and child.process is not None and child.exit_code() is None for child in children
    ):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for child in children:
        child._signal(signal.SIGKILL)
        if child.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(5)
    end_leftovers(home)


def end_leftovers(home: Path) -> int:
    """Ends every process with this home's mark; returns how many. Only for the holder of the home's lock."""
    found = _marked(home)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    stubborn = wait_until_gone(found, 5)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    wait_until_gone(stubborn, 5)
    return len(found)


def _marked(home: Path) -> list[psutil.Process]:
    found = []
    ourselves = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        # The environment of other users' processes cannot be read; ours are not among them.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in ourselves and process.environ().get(MARK) == str(home):
                found.append(process)
    return found
