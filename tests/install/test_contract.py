"""The comparison of a catalog with the contract, without a database; test_remedies.py executes the remedies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestration.errors import HeadraceError, Problem
from orchestration.install.contract import (
    Catalog,
    Column,
    Domain,
    Table,
    active_domains,
    advise,
    check_contract,
    read_contract,
)
from orchestration.install.indexes import FoundIndex, FoundKey, Index
from orchestration.install.relations import FoundColumn, FoundTable

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
        Index(("phone", "COALESCE(sent_at, created_at)", "id"), equal=1),
        Index(("note",), "note IS NOT NULL"),
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
DEFAULT = 'pg_catalog."default"'


def an_index(
    *names: str, where: str | None = None, method: str = "btree", **key: dict[str, Any]
) -> FoundIndex:
    """An index on columns and expressions; the named keys differ from the usual."""
    keys = [FoundKey(name if name in COLUMNS else None, name, **key.get(name, {})) for name in names]
    return FoundIndex(tuple(keys), where, method)


def a_table(columns: Mapping[str, str], indexes: Iterable[FoundIndex] = ()) -> FoundTable:
    texts = ("text", "character varying")
    details = {
        name: FoundColumn(kind, kind, collation=DEFAULT if kind in texts else None)
        for name, kind in columns.items()
    }
    return FoundTable(details, tuple(indexes))


CONVERSATION = an_index("phone", "COALESCE(sent_at, created_at)", "id")
NOTE = an_index("note", where="(note IS NOT NULL)")
OWNER = an_index("owner")
FITTING = a_table(COLUMNS, (CONVERSATION, NOTE, OWNER))


def problems(table: FoundTable | None, schema: str = "public") -> list[Problem]:
    catalog: Catalog = {} if table is None else {"queue": table}
    return check_contract([DOMAIN], catalog, schema)


def with_type(column: str, kind: str) -> FoundTable:
    return a_table({**COLUMNS, column: kind}, FITTING.indexes)


def without(column: str) -> FoundTable:
    return a_table({name: kind for name, kind in COLUMNS.items() if name != column}, FITTING.indexes)


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
    found = problems(a_table({"id": "uuid", "owner": "uuid"}))
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
    assert problem.remedy == 'CREATE INDEX CONCURRENTLY ON "public"."queue" (note) WHERE note IS NOT NULL;'


def test_a_partitioned_table_gets_its_index_by_a_statement_that_it_accepts() -> None:
    problem = the_only(problems(replace(with_indexes(CONVERSATION, NOTE), partitioned=True)))
    assert problem.remedy == 'CREATE INDEX ON "public"."queue" (owner);'


# Only the server knows which index serves (test_indexes.py). Here: that every part of the answer is considered.
@pytest.mark.parametrize(
    "index",
    [
        CONVERSATION,
        an_index("phone", "COALESCE(sent_at, created_at)", "id", "owner"),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", phone={"option": 1, "sorts": False}),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", where="(phone IS NOT NULL)"),
    ],
)
def test_an_index_serves_with_further_columns_and_where_equality_is_enough(index: FoundIndex) -> None:
    assert problems(with_indexes(index, NOTE, OWNER)) == []


@pytest.mark.parametrize(
    "index",
    [
        an_index("phone"),
        an_index("phone", "COALESCE(created_at, sent_at)", "id"),
        an_index("id", "phone", "COALESCE(sent_at, created_at)"),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", where="(sent_at IS NOT NULL)"),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", method="gist"),
        an_index("lower(phone)", "COALESCE(sent_at, created_at)", "id"),
        an_index("Phone", "COALESCE(sent_at, created_at)", "id"),
        an_index("phone", "COALESCE(sent_at, (created_at)::timestamp with time zone)", "id"),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", id={"option": 3}),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", id={"sorts": False}),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", phone={"equals": False}),
        an_index("phone", "COALESCE(sent_at, created_at)", "id", phone={"own_collation": False}),
    ],
)
def test_an_index_that_does_not_lead_with_the_keys_for_all_rows_does_not_serve(index: FoundIndex) -> None:
    assert the_only(problems(with_indexes(index, NOTE, OWNER))).what.startswith(
        "table queue lacks an index on (phone,"
    )


@pytest.mark.parametrize(
    "predicate",
    [None, "(note IS NOT NULL)", "((note)::text IS NOT NULL)", "((note)::character varying IS NOT NULL)"],
)
def test_a_partial_index_serves_where_its_predicate_says_the_same(predicate: str | None) -> None:
    assert problems(with_indexes(CONVERSATION, OWNER, an_index("note", where=predicate))) == []


@pytest.mark.parametrize(
    "predicate",
    [
        "(note IS NULL)",
        "(note <> ''::text)",
        "((note IS NOT NULL) AND (id > 5))",
        '("Note" IS NOT NULL)',
        "((note)::character varying(3) IS NOT NULL)",
        "(note = 'IS NOT NULL'::text)",
    ],
)
def test_a_partial_index_with_another_predicate_does_not_serve(predicate: str) -> None:
    the_only(problems(with_indexes(CONVERSATION, OWNER, an_index("note", where=predicate))))


@pytest.mark.parametrize(
    ("method", "serves"), [("btree", True), ("hash", True), ("gin", False), ("brin", False)]
)
def test_a_single_column_may_be_hashed(method: str, serves: bool) -> None:
    found = problems(with_indexes(CONVERSATION, NOTE, an_index("owner", method=method)))
    assert (found == []) is serves


UNIQUE = Domain("mail", ("queue",), (replace(QUEUE, indexes=(Index(("id",), unique=True),)),))


@pytest.mark.parametrize(
    ("index", "partitioned", "serves"),
    [
        (replace(an_index("id"), unique=True), False, True),
        (an_index("id"), False, False),
        (replace(an_index("id", "owner"), unique=True), False, False),
        (replace(an_index("id", where="(id IS NOT NULL)"), unique=True), False, False),
        (an_index("id"), True, True),
        (replace(an_index("id", "created_at"), unique=True), True, True),
        (an_index("owner"), True, False),
    ],
)
def test_what_tells_rows_apart_needs_a_unique_index_but_of_a_partitioned_table(
    index: FoundIndex, partitioned: bool, serves: bool
) -> None:
    found = check_contract(
        [UNIQUE], {"queue": replace(with_indexes(index), partitioned=partitioned)}, "public"
    )
    if serves:
        assert found == []
        return
    kind, statement = ("an", "INDEX") if partitioned else ("a unique", "UNIQUE INDEX CONCURRENTLY")
    assert the_only(found) == Problem(
        f"table queue lacks {kind} index on (id); see dbt_like_sql/sources.yml",
        f'CREATE {statement} ON "public"."queue" (id);',
    )


def test_indexes_are_asked_for_only_once_the_columns_fit() -> None:
    found = problems(replace(without("phone"), indexes=()))
    assert the_only(found).what.startswith("table queue lacks column phone")


def test_rows_that_a_restrictive_policy_hides_are_a_problem() -> None:
    problem = the_only(problems(replace(FITTING, hidden_by="tenants")))
    assert problem.what.startswith(
        "the restrictive policy tenants hides rows of queue from role headrace_owner"
    )
    assert problem.remedy.startswith("ALTER ROLE headrace_owner BYPASSRLS;")


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
        everything = FoundTable({})
        assert check_contract([domain], dict.fromkeys(tables, everything), "public")


# --- advised indexes -----------------------------------------------------------------------------------------------

LISTED = Table(
    "queue",
    QUEUE.columns,
    (),
    advised=(Index(("created_at", "id"), equal=0), Index(("note", "created_at"), equal=1)),
)


def advice(table: FoundTable | None) -> list[Problem]:
    return advise(
        [Domain("mail", ("queue",), (LISTED,))], {} if table is None else {"queue": table}, "public"
    )


def test_an_advised_index_that_is_missing_is_noted_and_refuses_nothing() -> None:
    assert (
        check_contract([Domain("mail", ("queue",), (LISTED,))], {"queue": a_table(COLUMNS)}, "public") == []
    )
    assert advice(a_table(COLUMNS)) == [
        Problem(
            f"lists and ranges of queue read the whole table without an index on ({keys}); see dbt_like_sql/sources.yml",
            f'CREATE INDEX CONCURRENTLY ON "public"."queue" ({keys});',
        )
        for keys in ("created_at, id", "note, created_at")
    ]


def test_nothing_is_advised_for_columns_or_tables_that_are_not_there_or_are_indexed() -> None:
    ordered = an_index("created_at", "id")
    without_note = {name: kind for name, kind in COLUMNS.items() if name != "note"}
    assert advice(None) == advice(a_table(without_note, (ordered,))) == []


def test_the_contracts_advice_is_for_lists_of_campaigns() -> None:
    (domain,) = read_contract().values()
    assert {table.name: table.advised for table in domain.tables if table.advised} == {
        "campaigns": (
            Index(("created_at", "id"), equal=0),
            Index(("user_id", "created_at", "id"), equal=1),
        )
    }


# --- collations, kinds of relations ----------------------------------------------------------------------------------

PAIR = Domain(
    "mail",
    ("queue",),
    (
        replace(QUEUE, indexes=()),
        Table("other", (Column("phone", "text"), Column("shown", "text", compared=False)), ()),
    ),
    (((("queue", "phone")), ("other", "phone")),),
)


def collated(queue: FoundColumn, other: FoundColumn, shown: FoundColumn) -> list[Problem]:
    here = {**a_table(COLUMNS).details, "phone": queue}
    return check_contract(
        [PAIR], {"queue": FoundTable(here), "other": FoundTable({"phone": other, "shown": shown})}, "public"
    )


PLAIN = FoundColumn("text", "text", collation=DEFAULT)
GERMAN = FoundColumn("character varying", "character varying(40)", collation='pg_catalog."de_DE"')
LOOSE = FoundColumn("text", "text", collation="public.loose", deterministic=False)


def test_columns_that_are_compared_have_one_collation_which_takes_no_two_texts_for_equal() -> None:
    assert collated(PLAIN, PLAIN, LOOSE) == []
    assert collated(GERMAN, GERMAN, PLAIN) == []
    problem = the_only(collated(GERMAN, PLAIN, PLAIN))
    assert problem.what.startswith(
        'the collation pg_catalog."default" of column phone of table other differs from that of queue.phone, which it is '
    )
    assert problem.remedy.startswith(
        'ALTER TABLE "public"."other" ALTER COLUMN "phone" TYPE text COLLATE pg_catalog."de_DE"; -- '
    )
    problem = the_only(collated(PLAIN, GERMAN, PLAIN))
    assert 'TYPE character varying(40) COLLATE pg_catalog."default"; -- ' in problem.remedy
    for columns in ((LOOSE, PLAIN), (PLAIN, LOOSE)):
        assert "takes different texts for equal" in the_only(collated(*columns, PLAIN)).what
    assert [problem.remedy.split("; -- ")[0] for problem in collated(LOOSE, LOOSE, LOOSE)] == [
        f'ALTER TABLE "public"."{table}" ALTER COLUMN "phone" TYPE text COLLATE pg_catalog."default"'
        for table in ("queue", "other")
    ]


def test_every_column_named_as_alike_is_one_of_the_contract() -> None:
    for domain in read_contract().values():
        there = {(table.name, column.name) for table in domain.tables for column in table.columns}
        assert {place for group in domain.alike for place in group} <= there


@pytest.mark.parametrize("kind", ["a view", "a materialized view", "a foreign table"])
def test_what_is_no_table_is_named_as_what_it_is_and_nothing_else_is_asked_of_it(kind: str) -> None:
    problem = the_only(problems(replace(a_table({}), kind=kind), "shop"))
    assert problem.what.startswith(f"queue in schema shop is {kind}")


def test_relations_by_whose_names_rows_pass_the_triggers_are_named() -> None:
    found = replace(
        FITTING,
        partition_of="public.every_queue",
        inherits=("public.things",),
        children=tuple(f"public.child_{n}" for n in range(7)),
        foreign=("public.far",),
    )
    whats = [problem.what for problem in problems(found)]
    assert [what.split(":")[0] for what in whats] == [
        "table queue is a partition of public.every_queue",
        "table queue inherits from public.things",
        "rows of public.child_0, public.child_1, public.child_2, public.child_3, public.child_4 and 2 more are read as those of "
        "table queue, from which it inherits, but their changes are not seen",
        "table queue has partitions on another server, whose own changes are not seen",
    ]


def test_a_table_without_a_log_is_noted() -> None:
    (note,) = advice(replace(a_table({}), unlogged=("public.queue",)))
    assert note.remedy == "ALTER TABLE public.queue SET LOGGED;"
