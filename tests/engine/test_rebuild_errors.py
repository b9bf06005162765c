"""Which rebuild errors end everything, which make it try each item alone, and which are one item's fault; without a database."""

from __future__ import annotations

import psycopg
import pytest

from orchestration.engine.rebuilds import Verdict, verdict


def error(code: str | None) -> psycopg.Error:
    made = psycopg.Error("x")
    made.sqlstate = code
    return made


@pytest.mark.parametrize("code", [None, "08006", "25006", "28000", "3F000", "42501", "57P01"])
def test_what_is_nobodys_ends_all(code: str | None) -> None:
    assert verdict(error(code), ["a", "b"]) is verdict(error(code), ["a"]) is Verdict.ENDS_ALL


@pytest.mark.parametrize("code", ["22003", "23505", "40P01", "53200", "57014", "P0001"])
def test_what_may_be_ones_own_is_tried_alone_and_then_is(code: str) -> None:
    assert verdict(error(code), ["a", "b"]) is Verdict.EACH_ALONE
    assert verdict(error(code), ["a"]) is Verdict.AT_FAULT
    assert verdict(error(code), []) is Verdict.ENDS_ALL
