"""Whether processes are alive, for code that ends them."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def lives(process: psutil.Process) -> bool:
    """False for zombies too: where nothing reaps them, as in many containers, they stay for ever."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def lives_by_id(pid: int) -> bool:
    try:
        return lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Waits until all have ended, but no longer than `seconds`; returns those that have not."""
    left = list(processes)
    deadline = time.monotonic() + seconds
    while left := [process for process in left if lives(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left
