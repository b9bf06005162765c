"""Databases with other encodings and sort orders: everything works in them, or is refused in a sentence."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest

from orchestration.demo.campaign_stats.load import create_schema
from orchestration.engine.stream import drain
from tests.campaign_stats.oracle import assert_all_agree
from tests.commands import a_sentence, run
from tests.databases import with_database as database_of
from tests.rows import a_history, insert


@pytest.fixture
def made(server_url: str) -> Iterator[Callable[[str], str]]:
    """Makes databases with these options."""
    names: list[str] = []

    def make(options: str) -> str:
        names.append(f"test_{uuid.uuid4().hex[:12]}")
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {names[-1]} TEMPLATE template0 {options}".encode())
        return database_of(server_url, names[-1])

    yield make
    with psycopg.connect(server_url, autocommit=True) as admin:
        for name in names:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'", "Grüße aus Málaga"),
        ("ENCODING 'EUC_JP' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'", "日本の名前"),
        ("ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C'", "ıİ 日本 😀"),
    ],
    ids=["LATIN1", "EUC_JP", "ICU, Turkish"],
)
def test_a_database_in_another_encoding_or_order_counts_and_shows_the_same(
    options: str, name: str, made: Callable[[str], str]
) -> None:
    try:
        url = made(options)
    except psycopg.errors.FeatureNotSupported as error:
        pytest.skip(str(error))
    assert run("demo", "schema", HEADRACE_DATABASE_URL=url).exit_code == 0
    assert run("migrate", HEADRACE_DATABASE_URL=url).exit_code == 0
    with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as application:
        campaigns = a_history(application)
        insert(application, "send_queue", campaign_id=campaigns[0], template_name=name, status="sent")
        application.execute("UPDATE campaigns SET name = %s WHERE id = %s", [name, campaigns[0]])
        asyncio.run(drain(url, timeout_seconds=60))
        expected = assert_all_agree(application)
    assert (campaigns[0], name) in expected
    shown = run("stats", str(campaigns[0]), "--json", HEADRACE_DATABASE_URL=url)
    document = json.loads(shown.stdout)
    assert document["name"] == name
    assert name in [template["template_name"] for template in document["template_stats"]]
    assert name in run("stats", HEADRACE_DATABASE_URL=url).stdout
    examined = json.loads(run("doctor", "--json", HEADRACE_DATABASE_URL=url).stdout)
    assert examined["errors"] == []
    told = [note["what"] for note in examined["notes"] if "encoding" in note["what"]]
    assert len(told) == ("UTF8" not in options)


def test_a_database_whose_bytes_mean_nothing_is_refused_in_a_sentence(made: Callable[[str], str]) -> None:
    url = made("ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'")
    create_schema(url, "public")
    for command in (("doctor",), ("migrate",), ("migrate", "--check")):
        said = a_sentence(run(*command, HEADRACE_DATABASE_URL=url))
        assert "encoding is SQL_ASCII" in said
        assert "ENCODING 'UTF8'" in said
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regnamespace('headrace')").fetchone() == (None,)
