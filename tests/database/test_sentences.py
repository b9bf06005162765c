"""Database errors as sentences, without a database: built from what the drivers return."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from orchestration.database.sentences import as_sentence, said


def through_sqlalchemy(error: psycopg.Error, *, invalidated: bool = False) -> sa.exc.DBAPIError:
    made = sa.exc.DBAPIError.instance("SELECT 1", None, error, psycopg.Error)
    assert isinstance(made, sa.exc.DBAPIError)
    made.connection_invalidated = invalidated
    return made


class Refused(psycopg.errors.InsufficientPrivilege):
    sqlstate = "42501"


class Missing(psycopg.errors.UndefinedFunction):
    sqlstate = "42883"


@pytest.mark.parametrize("wrapped", [False, True], ids=["psycopg", "sqlalchemy"])
def test_a_missing_right_says_which_role_is_to_be_granted(wrapped: bool) -> None:
    error = Refused("permission denied for table campaign")
    told = as_sentence(through_sqlalchemy(error) if wrapped else error)
    assert "(permission denied for table campaign)" in str(told)
    assert "GRANT headrace_worker TO <role>" in str(told)
    assert told.exit_code == 1


def test_what_is_not_installed_says_what_to_run_and_whose_error_it_is() -> None:
    told = as_sentence(Missing("function headrace.x() does not exist"), by="worker", exit_code=2)
    assert str(told).startswith("worker: schema headrace is not installed, or older than this version")
    assert told.exit_code == 2


def test_a_callers_own_advice_stands_in_place_of_ours() -> None:
    told = as_sentence(Refused("denied"), by="migrate", advice={"42501": "run it as the owner"})
    assert str(told) == "migrate: denied; run it as the owner"
    assert str(as_sentence(Missing("gone"), by="migrate", advice={})) == "migrate: gone"


def test_sqlalchemy_without_a_connection_says_what_to_check() -> None:
    lost = psycopg.OperationalError("connection refused")
    for error in (through_sqlalchemy(lost), through_sqlalchemy(Refused("x"), invalidated=True)):
        told = as_sentence(error)
        assert str(told).startswith("cannot connect to the database: ")
        assert told.exit_code == 2
    assert str(as_sentence(lost)) == "connection refused", "psycopg's own was connected before"


def test_a_message_is_on_one_line_and_its_address_is_no_link() -> None:
    assert said(psycopg.Error("a\n  b")) == "a b"
    assert str(as_sentence(psycopg.Error("see http://evil.example"))) == "see http: //evil.example"
