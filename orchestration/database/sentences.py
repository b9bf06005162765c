"""What a database error means: whether the data or the moment is to blame, when to try again, how to say it. Pure functions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import psycopg
import sqlalchemy as sa

from orchestration.errors import HeadraceError
from orchestration.text import log_text

# SQLSTATE classes that fail again at every attempt; the same list as headrace.is_data_error (a test compares them).
_DATA_ERROR_CLASSES = frozenset({"21", "22", "23", "2F", "38", "39", "44", "54", "P0"})
# Too much for the server's memory, or for a single value (an internal message, never translated).
_OUT_OF_MEMORY = "53200"
_TOO_LARGE = "invalid memory alloc request size"
# Errors that pass: serialisation and deadlocks, resources, locks, operator intervention, lost connections.
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_PASSING_CODES = frozenset({"55P03", "25006"})
# What a statement meets when `migrate` or `uninstall` removes its tables or functions while it is being planned. The next
# attempt finds the new ones, or names what is missing. These are internal messages of the server, never translated.
_GONE_MEANWHILE = ("could not open relation with OID", "cache lookup failed for", "tuple concurrently ")


def is_data_error(sqlstate: str | None, message: str | None = None) -> bool:
    """Whether fewer changes at once, or all but one of them, may succeed: the same rule as headrace.is_data_error."""
    code = sqlstate or ""
    return (
        (code[:2] in _DATA_ERROR_CLASSES and code != "P0002")
        or code == _OUT_OF_MEMORY
        or (code == "XX000" and (message or "").startswith(_TOO_LARGE))
    )


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same attempt can succeed later. A driver error without a code is a lost connection."""
    code = error.sqlstate
    if code is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if code == "XX000":
        return (error.diag.message_primary or "").startswith(_GONE_MEANWHILE)
    return code[:2] in _PASSING_CLASSES or code in _PASSING_CODES


def retry_delay(failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after `failures` failures in a row: exponential with full jitter, at most 5."""
    return uniform(0.0, min(5.0, 0.05 * 2.0 ** min(failures, 10)))


def said(error: Exception, *, detail: bool = False) -> str:
    """A server's or driver's message on one line, without the statement and the position. detail: also which row or value."""
    problem = getattr(error, "orig", None) or error
    if isinstance(problem, psycopg.Error) and problem.diag.message_primary:
        told = [problem.diag.message_primary, problem.diag.message_detail if detail else None]
        return " ".join(": ".join(filter(None, told)).split())
    return " ".join(str(problem).split())


def explain(error: psycopg.Error) -> str:
    """A database error as a sentence that says what to do: the server's message, without the statement."""
    problem = said(error)
    match error.sqlstate:
        case "42501":
            return (
                f"the role of HEADRACE_DATABASE_URL may not do this ({problem}); a worker's needs "
                "GRANT headrace_worker TO <role>; and this version's rights: headrace migrate"
            )
        case "3F000" | "42883" | "42P01" if "headrace" in problem:
            return f"schema headrace is not installed, or older than this version ({problem}); run: headrace migrate"
        case _:
            return problem


def cannot_connect(error: Exception) -> HeadraceError:
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        # libpq could not read the URL; its message may quote it, and with it the password.
        return HeadraceError(
            "HEADRACE_DATABASE_URL is not a URL PostgreSQL understands: it looks like "
            "postgresql://user:password@host:5432/database, with special characters percent-encoded",
            exit_code=2,
        )
    return HeadraceError(
        f"cannot connect to the database: {said(error, detail=True)}; check HEADRACE_DATABASE_URL "
        "(postgresql://user:password@host:5432/database) and that the server runs",
        exit_code=2,
    )


def as_sentence(
    error: psycopg.Error | sa.exc.DBAPIError,
    *,
    by: str = "",
    advice: Mapping[str, str] | None = None,
    exit_code: int = 1,
) -> HeadraceError:
    """A database error as a sentence: what is wrong and what to do about it.

    SQLAlchemy connects when it executes: a failed connection can end up here too, and is reported as one.

    Args:
        by: whose error it is, if that is worth saying.
        advice: what to do, by SQLSTATE; replaces what `explain` says.
    """
    orig = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if isinstance(error, sa.exc.DBAPIError) and (
        error.connection_invalidated or (isinstance(orig, psycopg.OperationalError) and orig.sqlstate is None)
    ):
        return cannot_connect(error)
    if advice is not None or not isinstance(orig, psycopg.Error):
        told = said(error, detail=True)
        todo = (advice or {}).get(getattr(orig, "sqlstate", None) or "")
        told += f"; {todo}" if todo else ""
    else:
        told = explain(orig)
    return HeadraceError(log_text(f"{by}: {told}" if by else told), exit_code=exit_code)
