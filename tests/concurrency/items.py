"""A stream of a table `items`, to test streams alone: its handler records what it was given, in order."""

from __future__ import annotations

import psycopg

ITEMS = """
CREATE SCHEMA probe;
CREATE TABLE public.items (id integer PRIMARY KEY, n integer NOT NULL);
CREATE TABLE probe.applied (
    seq bigint GENERATED ALWAYS AS IDENTITY, pos bigint NOT NULL, op text NOT NULL, entity_id text, n integer, cause text
);
CREATE TABLE probe.poison (entity_id text PRIMARY KEY);
CREATE FUNCTION probe.note(p_changes headrace.change_log[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE v_bad text;
BEGIN
    SELECT c.entity_id INTO v_bad FROM unnest(p_changes) c JOIN probe.poison p USING (entity_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'item % is poison', v_bad USING ERRCODE = 'data_exception';
    END IF;
    INSERT INTO probe.applied (pos, op, entity_id, n, cause)
    SELECT c.pos, c.op::text, c.entity_id, (c.data #>> '{new,n}')::integer, c.cause FROM unnest(p_changes) c ORDER BY c.pos;
    RETURN cardinality(p_changes);
END $$;
GRANT USAGE ON SCHEMA probe TO headrace_owner;
GRANT ALL ON ALL TABLES IN SCHEMA probe TO headrace_owner;
"""


def captured(table: str, source: str, spec: str) -> str:
    """The statement that captures a table for one test; spec: what capture_spec gets after the table."""
    return (
        f"SELECT made FROM headrace.capture_table('{source}',"
        f" jsonb_build_object('test', headrace.capture_spec('{table}', {spec})))"
    )


def make_items(database: str, *, shards: int = 1, ordered: bool = False) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ITEMS)
        connection.execute(captured("public.items", "items", "'id', NULL, '{n}', '{n}'").encode())
        for operation in ("insert", "update", "delete", "truncate"):
            connection.execute(
                f"ALTER FUNCTION headrace.capture_items_{operation}() OWNER TO headrace_capture".encode()
            )
        connection.execute(
            "SELECT headrace.register_stream('items', '{items}', 'probe.note', %s, %s)", [shards, ordered]
        )
