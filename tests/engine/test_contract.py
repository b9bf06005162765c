"""The comparison of a catalog with the contract, without a database; the remedies are executed in test_remedies.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from orchestration.contract import (
    Catalog,
    Column,
    Domain,
    FoundIndex,
    FoundTable,
    Index,
    Problem,
    Table,
    active_domains,
    advise,
    check_contract,
    read_contract,
)
from orchestration.errors import HeadraceError

QUEUE = Table(
    "queue",
    (
        Column("id", "id"),
        Column("owner", "uuid"),
        Column("phone", "text"),
        Column("sent_at", "timestamptz"),
        Column("created_at", "timestamptz"),
        Column("note", "text", optional=True),
        Column("errors", "jsonb", optional=True),
    ),
    (
        Index(("phone", "coalesce(sent_at, created_at)", "id")),
        Index(("note",), "note is not null"),
        Index(("owner",)),
    ),
)
DOMAIN = Domain("mail", ("queue",), (QUEUE,))
COLUMNS = {
    "id": "uuid",
    "owner": "uuid",
    "phone": "text",
    "sent_at": "timestamp with time zone",
    "created_at": "timestamp with time zone",
    "note": "text",
    "errors": "jsonb",
}
CONVERSATION = FoundIndex(("phone", "COALESCE(sent_at, created_at)", "id"), None, "btree")
NOTE = FoundIndex(("note",), "(note IS NOT NULL)", "btree")
OWNER = FoundIndex(("owner",), None, "btree")
FITTING = FoundTable(COLUMNS, (CONVERSATION, NOTE, OWNER))


def problems(table: FoundTable | None, schema: str = "public") -> list[Problem]:
    catalog: Catalog = {} if table is None else {"queue": table}
    return check_contract([DOMAIN], catalog, schema)


def with_type(column: str, kind: str) -> FoundTable:
    return replace(FITTING, columns={**COLUMNS, column: kind})


def without(column: str) -> FoundTable:
    return replace(FITTING, columns={name: kind for name, kind in COLUMNS.items() if name != column})


def with_indexes(*indexes: FoundIndex) -> FoundTable:
    return replace(FITTING, indexes=indexes)


def the_only(found: Iterable[Problem]) -> Problem:
    (problem,) = found
    return problem


def test_a_table_that_fits_has_no_problems() -> None:
    assert problems(FITTING) == []


def test_a_missing_table_is_named_with_its_required_columns() -> None:
    problem = the_only(problems(None, 'My "App"'))
    assert problem.what.startswith('table queue is missing from schema My "App"')
    assert problem.remedy == (
        'CREATE TABLE "My ""App"""."queue" ("id" uuid, "owner" uuid, "phone" text, "sent_at" timestamptz, "created_at" timestamptz);'
    )


def test_a_missing_column_is_named_and_hides_no_other() -> None:
    found = problems(FoundTable({"id": "uuid", "owner": "uuid"}))
    assert [problem.remedy for problem in found] == [
        'ALTER TABLE "public"."queue" ADD COLUMN "phone" text;',
        'ALTER TABLE "public"."queue" ADD COLUMN "sent_at" timestamptz;',
        'ALTER TABLE "public"."queue" ADD COLUMN "created_at" timestamptz;',
    ]
    assert "lacks column phone (text)" in found[0].what


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("id", "bigint"),
        ("id", "text"),
        ("id", "character varying"),
        ("phone", "character varying"),
        ("errors", "json"),
    ],
)
def test_types_that_read_the_same_are_accepted(column: str, kind: str) -> None:
    assert problems(with_type(column, kind)) == []


@pytest.mark.parametrize(
    ("column", "kind", "remedy"),
    [
        ("id", "integer", 'TYPE bigint USING "id"::bigint;'),
        ("owner", "text", 'TYPE uuid USING "owner"::uuid;'),
        ("phone", "bigint", 'TYPE text USING "phone"::text;'),
        ("phone", "delivery_status", 'TYPE text USING "phone"::text;'),
        ("sent_at", "timestamp without time zone", "TYPE timestamptz USING \"sent_at\" AT TIME ZONE 'UTC';"),
        ("sent_at", "date", 'TYPE timestamptz USING "sent_at"::timestamptz;'),
        ("note", "jsonb", 'TYPE text USING "note"::text;'),
    ],
)
def test_a_wrong_type_is_named_with_what_it_must_be(column: str, kind: str, remedy: str) -> None:
    problem = the_only(problems(with_type(column, kind)))
    assert problem.what.startswith(f"column {column} of table queue is {kind}, but must be ")
    assert problem.remedy == f'ALTER TABLE "public"."queue" ALTER COLUMN "{column}" {remedy}'


def test_whole_numbers_where_a_uuid_must_be_get_words_instead_of_a_statement_that_fails() -> None:
    assert the_only(problems(with_type("owner", "bigint"))).remedy == (
        "give the rows of queue a uuid as owner: bigint does not convert to one"
    )


@pytest.mark.parametrize("column", ["note", "errors"])
def test_optional_columns_may_be_absent_and_so_may_their_indexes(column: str) -> None:
    assert (
        problems(
            replace(without(column), indexes=(CONVERSATION, OWNER, *([NOTE] if column != "note" else [])))
        )
        == []
    )


def test_an_optional_column_that_is_there_needs_its_index() -> None:
    problem = the_only(problems(with_indexes(CONVERSATION, OWNER)))
    assert problem.what.startswith("table queue lacks an index on (note)")
    assert problem.remedy == 'CREATE INDEX CONCURRENTLY ON "public"."queue" (note) WHERE note is not null;'


def test_a_partitioned_table_gets_its_index_by_a_statement_that_it_accepts() -> None:
    problem = the_only(problems(replace(with_indexes(CONVERSATION, NOTE), partitioned=True)))
    assert problem.remedy == 'CREATE INDEX ON "public"."queue" (owner);'


@pytest.mark.parametrize(
    "index",
    [
        CONVERSATION,
        FoundIndex(("phone", "COALESCE(sent_at, created_at)", "id", "owner"), None, "btree"),
        FoundIndex(
            ("phone", "COALESCE(sent_at, (created_at)::timestamp with time zone)", "id"), None, "btree"
        ),
    ],
)
def test_an_index_serves_with_other_spelling_or_further_columns(index: FoundIndex) -> None:
    assert problems(with_indexes(index, NOTE, OWNER)) == []


@pytest.mark.parametrize(
    "index",
    [
        FoundIndex(("phone",), None, "btree"),
        FoundIndex(("phone", "COALESCE(created_at, sent_at)", "id"), None, "btree"),
        FoundIndex(("id", "phone", "COALESCE(sent_at, created_at)"), None, "btree"),
        FoundIndex(("phone", "COALESCE(sent_at, created_at)", "id"), "(sent_at IS NOT NULL)", "btree"),
        FoundIndex(("phone", "COALESCE(sent_at, created_at)", "id"), None, "gist"),
        FoundIndex(("lower(phone)", "COALESCE(sent_at, created_at)", "id"), None, "btree"),
    ],
)
def test_an_index_that_does_not_lead_with_the_keys_for_all_rows_does_not_serve(index: FoundIndex) -> None:
    assert the_only(problems(with_indexes(index, NOTE, OWNER))).what.startswith(
        "table queue lacks an index on (phone,"
    )


@pytest.mark.parametrize(
    "predicate",
    [None, "note is not null", "(NOTE IS NOT NULL)", '("note" IS NOT NULL)', "((note)::text IS NOT NULL)"],
)
def test_a_partial_index_serves_where_its_predicate_says_the_same(predicate: str | None) -> None:
    assert problems(with_indexes(CONVERSATION, OWNER, FoundIndex(("note",), predicate, "btree"))) == []


@pytest.mark.parametrize(
    "predicate", ["(note IS NULL)", "(note <> ''::text)", "((note IS NOT NULL) AND (id > 5))"]
)
def test_a_partial_index_with_another_predicate_does_not_serve(predicate: str) -> None:
    the_only(problems(with_indexes(CONVERSATION, OWNER, FoundIndex(("note",), predicate, "btree"))))


@pytest.mark.parametrize(
    ("method", "serves"), [("btree", True), ("hash", True), ("gin", False), ("brin", False)]
)
def test_a_single_column_may_be_hashed(method: str, serves: bool) -> None:
    found = problems(with_indexes(CONVERSATION, NOTE, FoundIndex(("owner",), None, method)))
    assert (found == []) is serves


def test_indexes_are_asked_for_only_once_the_columns_fit() -> None:
    found = problems(replace(without("phone"), indexes=()))
    assert the_only(found).what.startswith("table queue lacks column phone")


def test_rows_hidden_by_policies_are_a_problem() -> None:
    assert "row-level security on queue" in the_only(problems(replace(FITTING, hidden_by_policy=True))).what


def test_a_domain_is_active_when_a_telling_table_exists_or_it_was_installed_or_asked_for() -> None:
    contract = {"mail": DOMAIN, "other": Domain("other", ("other",), ())}
    there: Catalog = {"queue": FITTING}
    assert [d.name for d in active_domains(contract, there, None)] == ["mail"]
    assert active_domains(contract, {"campaigns": FITTING}, None) == []
    assert [d.name for d in active_domains(contract, {}, None, installed=["mail"])] == ["mail"]
    assert [d.name for d in active_domains(contract, there, ["other"])] == ["other"]
    assert active_domains(contract, there, [], installed=["mail"]) == []


def test_an_unknown_domain_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(HeadraceError, match="names nonsense; there are: mail"):
        active_domains({"mail": DOMAIN}, {}, ["mail", "nonsense"])


def test_the_contract_names_only_types_that_it_accepts() -> None:
    for domain in read_contract().values():
        assert domain.activated_by
        tables = {table.name for table in domain.tables}
        assert set(domain.activated_by) <= tables
        everything = FoundTable({}, ())
        assert check_contract([domain], dict.fromkeys(tables, everything), "public")


# --- advised indexes -----------------------------------------------------------------------------------------------

LISTED = Table(
    "queue", QUEUE.columns, (), advised=(Index(("created_at", "id")), Index(("note", "created_at")))
)


def advice(table: FoundTable | None) -> list[Problem]:
    return advise(
        [Domain("mail", ("queue",), (LISTED,))], {} if table is None else {"queue": table}, "public"
    )


def test_an_advised_index_that_is_missing_is_noted_and_refuses_nothing() -> None:
    assert (
        check_contract([Domain("mail", ("queue",), (LISTED,))], {"queue": FoundTable(COLUMNS)}, "public")
        == []
    )
    assert advice(FoundTable(COLUMNS)) == [
        Problem(
            f"lists and ranges of queue read the whole table without an index on ({keys}); see dbt_like_sql/sources.yml",
            f'CREATE INDEX CONCURRENTLY ON "public"."queue" ({keys});',
        )
        for keys in ("created_at, id", "note, created_at")
    ]


def test_nothing_is_advised_for_columns_or_tables_that_are_not_there_or_are_indexed() -> None:
    ordered = FoundIndex(("created_at", "id"), None, "btree")
    without_note = {name: kind for name, kind in COLUMNS.items() if name != "note"}
    assert advice(None) == advice(FoundTable(without_note, (ordered,))) == []


def test_the_contracts_advice_is_for_lists_of_campaigns() -> None:
    (domain,) = read_contract().values()
    assert {table.name: table.advised for table in domain.tables if table.advised} == {
        "campaigns": (Index(("created_at", "id")), Index(("user_id", "created_at", "id")))
    }
