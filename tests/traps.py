"""Traps: what an ordinary login can plant in a schema that others search, and whether any of it was run.

For every catalog function that our code names, there is one with the same parameters and some with closer types; for all
pairs of common types there are operators. A call finds them unless search_path leaves out their schema, or has the catalog
before it and the catalog's function fits as well. Each draws from a sequence, which no rollback undoes.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import psycopg

from tests.commands import REPOSITORY

# Types of arguments that may be passed where the catalog's function takes this type.
_NEARER = {
    "text": ("character varying", "name"),
    "name": ("character varying", "text"),
    "integer": ("smallint",),
    "bigint": ("integer", "smallint"),
    "oid": ("regclass", "regtype", "regproc"),
    "double precision": ("numeric", "integer"),
    "numeric": ("integer", "bigint"),
    '"any"': ("text", "character varying", "uuid", "bigint", "oid", "name", "jsonb"),
    "anyelement": ("text", "character varying", "uuid", "bigint", "oid"),
    "anyarray": ("text[]", "uuid[]", "bigint[]", "name[]"),
}
_COMPARED = (
    *("text", "character varying", "name", '"char"', "smallint", "integer", "bigint", "numeric", "double precision"),
    *("oid", "regclass", "regtype", "regproc", "regnamespace", "uuid", "jsonb", "boolean"),
    *("timestamp with time zone", "interval", "text[]", "name[]", "uuid[]"),
)  # fmt: skip
_OPERATORS = {
    **dict.fromkeys(("=", "<>", "<", ">", "<=", ">=", "~"), "boolean"),
    **dict.fromkeys(("||", "->>"), "text"),
}
_NAMED = """
    SELECT p.proname, ARRAY(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u (a, n) ORDER BY n),
        CASE t.typtype WHEN 'p' THEN 'text' ELSE format_type(t.oid, NULL) END, p.proretset
    FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind <> 'p' AND p.pronargs BETWEEN 1 AND 4
        AND p.provariadic = 0 AND p.proname = ANY (%s) AND t.typname NOT IN ('internal', 'trigger', 'event_trigger')
        AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a WHERE a IN ('internal'::regtype, 'cstring'::regtype))
"""
_PSEUDO = {
    *('"any"', "anyelement", "anyarray", "anycompatible", "anycompatiblearray", "anynonarray", "record"),
    *(
        "anyenum",
        "anyrange",
        "anycompatiblerange",
        "anymultirange",
        "anycompatiblemultirange",
        "anycompatiblenonarray",
    ),
}


def plant(connection: psycopg.Connection[Any], schema: str = "planted") -> int:
    """Plants the traps in autocommit mode, as the connection's role; returns their number."""
    connection.execute(
        f"CREATE SEQUENCE {schema}.sprung; GRANT ALL ON SEQUENCE {schema}.sprung TO PUBLIC;"
        f"CREATE TABLE {schema}.traps (name text); GRANT ALL ON {schema}.traps TO PUBLIC".encode()
    )
    names = sorted(set(re.findall(r"\b([a-z_0-9]+)\(", _our_code())))
    statements = []
    for name, types, result, is_set in connection.execute(_NAMED, [names]).fetchall():
        for signature in _signatures(types):
            statements.append(_function(schema, name, signature, ("SETOF " if is_set else "") + result))
    for left, right in itertools.product(_COMPARED, repeat=2):
        for result in set(_OPERATORS.values()):
            statements.append(_function(schema, f"trap_{result}", (left, right), result))
        for operator, result in _OPERATORS.items():
            statements.append(
                f'CREATE OPERATOR {schema}.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {schema}."trap_{result}")'
            )
    # A function that cannot be created, for its result type or because it exists already, is no trap.
    connection.execute(
        "CREATE FUNCTION pg_temp.plant(statements text[]) RETURNS bigint LANGUAGE plpgsql AS $$"
        " DECLARE s text; n bigint := 0; BEGIN FOREACH s IN ARRAY statements LOOP"
        " BEGIN EXECUTE s; n := n + 1; EXCEPTION WHEN duplicate_function OR invalid_function_definition THEN NULL; END;"
        " END LOOP; RETURN n; END $$"
    )
    row = connection.execute("SELECT pg_temp.plant(%s)", [statements]).fetchone()
    assert row is not None
    return int(row[0])


def sprung(connection: psycopg.Connection[Any], schema: str = "planted") -> list[str]:
    """Names of the traps that were run; for one that was rolled back, only that there was one."""
    row = connection.execute(f"SELECT is_called FROM {schema}.sprung".encode()).fetchone()
    names = connection.execute(f"SELECT DISTINCT name FROM {schema}.traps".encode()).fetchall()
    return [name for (name,) in names] or (["one, rolled back"] if row and row[0] else [])


def _our_code() -> str:
    return "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("orchestration", "dbt_like_sql")
        for path in (REPOSITORY / folder).rglob("*.*")
        if path.suffix in (".py", ".sql") and path.name != "schema.sql"
    )


def _signatures(types: list[str]) -> set[tuple[str, ...]]:
    """The types themselves, and variants in which one or all of them are closer."""
    found = {tuple(types)} if not {*types} & _PSEUDO else set()
    nearer = [_NEARER.get(type_, (type_,)) for type_ in types]
    for place, others in enumerate(nearer):
        found |= {(*types[:place], other, *types[place + 1 :]) for other in others}
    found |= set(itertools.islice(itertools.product(*nearer), 20))
    return {types_ for types_ in found if not {*types_} & _PSEUDO}


def _function(schema: str, name: str, types: tuple[str, ...], result: str) -> str:
    told = f"{name}({', '.join(types)})".replace("'", "''")
    returned = "" if result.startswith("SETOF") else " NULL"
    return (
        f'CREATE FUNCTION {schema}."{name}"({", ".join(types)}) RETURNS {result} LANGUAGE plpgsql AS $trap$ BEGIN'
        f" PERFORM pg_catalog.nextval('{schema}.sprung'); INSERT INTO {schema}.traps VALUES ('{told}');"
        f" RETURN{returned}; END $trap$"
    )
