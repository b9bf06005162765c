"""models.yml: an error names the file, and the place in it."""

from __future__ import annotations

import pytest

from orchestration.dagster_kit.models import parse_models, read_models
from orchestration.errors import HeadraceError
from orchestration.install.contract import read_contract


@pytest.mark.parametrize("domain", read_contract())
def test_every_domain_says_what_its_tables_and_its_sources_are(domain: str) -> None:
    models = read_models(domain)
    assert models.tables
    assert set(models.sources) == {table.name for table in read_contract()[domain].tables}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tables: {t: {c: {type: text}}}", "x.yml: tables.t.c.description: Field required"),
        (
            "tables: {t: {c: {type: '', description: d}}}",
            "x.yml: tables.t.c.type: String should have at least 1",
        ),
        ("tables: {t: {c: {type: text, description: d, nul: 1}}}", "x.yml: tables.t.c.nul: Extra inputs"),
        (
            "tables: {t: {c: {type: text, description: d, nullable: 7}}}",
            "x.yml: tables.t.c.nullable: Input should be",
        ),
        ("sources: {}", "x.yml: tables: Field required"),
        ("tables: {", "x.yml: while parsing"),
        ("", "x.yml: the whole: Input should be"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_place(text: str, said: str) -> None:
    with pytest.raises(HeadraceError) as caught:
        parse_models(text, "x.yml")
    assert str(caught.value).startswith(said)


def test_columns_stay_in_the_tables_order() -> None:
    text = "tables: {t: {b: {type: text, description: d}, a: {type: text, description: d, nullable: true}}}"
    assert [(name, column.nullable) for name, column in parse_models(text, "x").tables["t"].items()] == [
        ("b", False),
        ("a", True),
    ]
