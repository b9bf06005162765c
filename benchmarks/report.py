"""What a run prints and writes: tables, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RATIOS = ("what", "ours", "against", "ratio", "goal")


@dataclass(frozen=True)
class Section:
    """One table. In the usual columns (RATIOS) a ratio is ours divided by the other's. text: an explanation above the table."""

    title: str
    rows: Sequence[tuple[str, ...]]
    columns: tuple[str, ...] = RATIOS
    text: str = ""

    def markdown(self) -> str:
        lines = [f"| {' | '.join(self.columns)} |", "|---" * len(self.columns) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n\n".join(filter(None, [f"## {self.title}", self.text, "\n".join(lines)]))


@dataclass(frozen=True)
class Disk:
    """The server's data folder: its file system, and the milliseconds it takes to make 8 kB durable."""

    filesystem: str
    writes: Sequence[float] = field(repr=False)

    @property
    def median(self) -> float:
        return statistics.median(self.writes)

    def __str__(self) -> str:
        worst = sorted(self.writes)[int(len(self.writes) * 0.99)]
        return f"{self.filesystem}, fdatasync of 8 kB: median {self.median:.2f} ms, p99 {worst:.2f} ms"


def disk(folder: Path, count: int = 400) -> Disk:
    """Times appends of 8 kB, each made durable as the server does for a commit."""
    path = folder / "fdatasync"
    times = []
    sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, bytes(8192 * count))
        os.fsync(descriptor)
        for number in range(count):
            began = time.perf_counter()
            os.pwrite(descriptor, b"x" * 8192, 8192 * number)
            sync(descriptor)
            times.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return Disk(_filesystem(folder), times)


def _filesystem(folder: Path) -> str:
    mounts = [m for m in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(m.mountpoint)]
    return max(mounts, key=lambda m: len(m.mountpoint)).fstype if mounts else "unknown file system"


def machine(server_version: int) -> str:
    """The machine and the versions, on one line."""
    return ", ".join(
        [
            f"{psutil.cpu_count()} cores ({_cpu()})",
            f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
            f"PostgreSQL {server_version // 10000}.{server_version % 10000} (embedded)",
        ]
    )


def _cpu() -> str:
    """The model's name, if the system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
