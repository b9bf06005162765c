"""The application's tables as assets: if two domains read one table, the first shows it for both."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.dagster_kit import assets
from orchestration.dagster_kit.assets import captured_tables, source_assets, source_key
from orchestration.dagster_kit.models import Models
from orchestration.install.contract import Column, Domain, Table

MESSAGES = Table("messages", (Column("id", "id"), Column("seen_at", "timestamptz", optional=True)), ())
TOYS = Table("toys", (Column("id", "id"),), ())
CONTRACT = {
    "first": Domain("first", ("messages",), (MESSAGES,)),
    "second": Domain("second", ("toys",), (Table("messages", (Column("body", "text"),), ()), TOYS)),
}
CAPTURES = {"first": ["messages"], "second": ["messages", "toys"]}


@pytest.fixture(autouse=True)
def two_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "read_contract", lambda: CONTRACT)
    monkeypatch.setattr(
        assets, "read_models", lambda domain: Models(tables={}, sources={"toys": f"{domain}'s"})
    )
    monkeypatch.setattr(assets, "sql_file_names", lambda domain, kind: CAPTURES[domain])


def test_a_table_that_two_domains_read_is_one_asset_with_the_columns_of_both() -> None:
    both = [*source_assets("first"), *source_assets("second")]
    assert [spec.key for spec in both] == [source_key("messages"), source_key("toys")]
    columns = both[0].metadata["dagster/column_schema"].columns
    assert [(column.name, column.description) for column in columns] == [
        ("id", None),
        ("seen_at", "Where the application has it."),
        ("body", None),
    ]
    assert [spec.description for spec in both] == ["A table of the application.", "second's"]
    assert dg.Definitions(assets=both).resolve_asset_graph().external_asset_keys == {
        spec.key for spec in both
    }


def test_capture_of_a_table_is_checked_once() -> None:
    assert captured_tables("first") == ["messages"]
    assert captured_tables("second") == ["toys"]
