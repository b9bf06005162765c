"""What an error of the database means: whether the data or the moment is to blame, when to try again, how to say it. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import psycopg
import sqlalchemy as sa

from orchestration.errors import HeadraceError
from orchestration.text import log_text

# Classes that come again however often one tries; the same list as headrace.is_data_error (compared by a test).
_DATA_ERROR_CLASSES = frozenset({"21", "22", "23", "2F", "38", "39", "44", "54", "P0"})
# Too much at once for the server's memory, or for one of its values (an internal message, never translated).
_OUT_OF_MEMORY = "53200"
_TOO_LARGE = "invalid memory alloc request size"
# Of the moment: serialisation and deadlocks, resources, locks, operator intervention, lost connections.
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_PASSING_CODES = frozenset({"55P03", "25006"})
# What a statement meets whose tables or functions `migrate` or `uninstall` took away while it was planned: the next one
# finds others, or says by name what is missing. These messages are the server's internal ones, never translated.
_GONE_MEANWHILE = ("could not open relation with OID", "cache lookup failed for", "tuple concurrently ")


def is_data_error(sqlstate: str | None, message: str | None = None) -> bool:
    """Whether fewer changes at once, or all but one of them, may go through: the same as headrace.is_data_error."""
    code = sqlstate or ""
    return (
        (code[:2] in _DATA_ERROR_CLASSES and code != "P0002")
        or code == _OUT_OF_MEMORY
        or (code == "XX000" and (message or "").startswith(_TOO_LARGE))
    )


def is_passing(error: psycopg.Error) -> bool:
    """Whether trying the same again can succeed. A driver's error without a code is a lost connection."""
    code = error.sqlstate
    if code is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if code == "XX000":
        return (error.diag.message_primary or "").startswith(_GONE_MEANWHILE)
    return code[:2] in _PASSING_CLASSES or code in _PASSING_CODES


def retry_delay(failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after so many failures in a row: exponential with full jitter, at most 5."""
    return uniform(0.0, min(5.0, 0.05 * 2.0 ** min(failures, 10)))


def said(error: Exception, *, detail: bool = False) -> str:
    """A server's or driver's message on one line, without the statement and where in it. detail: which row or value, too."""
    problem = getattr(error, "orig", None) or error
    if isinstance(problem, psycopg.Error) and problem.diag.message_primary:
        told = [problem.diag.message_primary, problem.diag.message_detail if detail else None]
        return " ".join(": ".join(filter(None, told)).split())
    return " ".join(str(problem).split())


def explain(error: psycopg.Error) -> str:
    """A database error as a sentence that says what to do: the server's message, without the statement it ran."""
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
    """A database error as what is wrong and what to do about it. SQLAlchemy connects and asks in one: no connection is said as that.

    Args:
        by: whose error it is, where that is worth saying.
        advice: SQLSTATE to what is to be done; in place of what `explain` says.
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
