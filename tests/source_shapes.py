"""The application's tables in other shapes than the example's: with other types, partitioned, with fewer columns."""

from __future__ import annotations

from collections.abc import Mapping

from orchestration.database.sql_files import quoted
from orchestration.install.contract import Table, read_contract

# As an ORM creates them: varchar with lengths, numeric ids, rounded times. No optional columns, no foreign keys.
VARCHAR_AND_BIGINT = """
CREATE TABLE campaigns (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(200), status varchar(20) NOT NULL DEFAULT 'draft',
    created_at timestamptz(3) NOT NULL DEFAULT now());
CREATE TABLE send_queue (
    id bigserial PRIMARY KEY, campaign_id uuid, user_phone varchar(40), whatsapp_number_id varchar(40), template_name varchar(100),
    status varchar(10) NOT NULL DEFAULT 'queued', whatsapp_message_id varchar(100), sent_at timestamptz(3),
    created_at timestamptz(3) NOT NULL DEFAULT now());
CREATE INDEX ON send_queue USING hash (whatsapp_message_id);
CREATE INDEX ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id);
CREATE INDEX ON send_queue (campaign_id, template_name);
CREATE TABLE message_status_logs (
    id bigserial PRIMARY KEY, whatsapp_message_id varchar(100), status varchar(20) NOT NULL, created_at timestamptz(3) DEFAULT now());
CREATE INDEX ON message_status_logs (whatsapp_message_id);
CREATE TABLE messages (
    id bigserial PRIMARY KEY, user_phone varchar(40), whatsapp_number_id varchar(40), direction varchar(10),
    created_at timestamptz(3) NOT NULL DEFAULT now());
CREATE INDEX ON messages (user_phone, whatsapp_number_id, created_at) WHERE direction = 'incoming';
CREATE TABLE campaign_contacts (campaign_id uuid, template_name varchar(100));
CREATE INDEX ON campaign_contacts (campaign_id);
"""

# The example's queue, partitioned by month with a partition for the rest.
PARTITIONED_QUEUE = """
DROP TABLE send_queue;
CREATE TABLE send_queue (
    id uuid NOT NULL DEFAULT gen_random_uuid(), campaign_id uuid, user_phone text, whatsapp_number_id text, template_name text,
    status text NOT NULL DEFAULT 'queued', whatsapp_message_id text, sent_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE INDEX ON send_queue (whatsapp_message_id);
CREATE INDEX ON send_queue (user_phone, whatsapp_number_id, coalesce(sent_at, created_at), id);
CREATE INDEX ON send_queue (campaign_id);
CREATE TABLE send_queue_2026_03 PARTITION OF send_queue FOR VALUES FROM ('2026-03-01 00:00+00') TO ('2026-04-01 00:00+00');
CREATE TABLE send_queue_rest PARTITION OF send_queue DEFAULT;
"""


def from_the_contract(
    schema: str, types: Mapping[str, str], *, optional: bool, partitioned: Mapping[str, str]
) -> str:
    """The tables of somebody who has only sources.yml: no indexes, no keys, ids and times by default.

    Args:
        types: the SQL type, with whatever follows it, for each contract type: by `table.column`, `column` or type.
        optional: whether to include optional columns.
        partitioned: by table, its `PARTITION BY` and the statements that create its partitions, with {schema}, {table}
            and the table's {name}.
    """
    statements = [f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}"]
    for table in (table for domain in read_contract().values() for table in domain.tables):
        place = f"{quoted(schema)}.{quoted(table.name)}"
        by, _, partitions = partitioned.get(table.name, "").partition(";")
        statements.append(f"CREATE TABLE {place} ({_columns(table, types, optional)}) {by}")
        if partitions:
            statements.append(partitions.format(schema=quoted(schema), table=place, name=table.name))
    return ";\n".join(statements)


def _columns(table: Table, types: Mapping[str, str], optional: bool) -> str:
    lines = []
    for column in table.columns:
        if optional or not column.optional:
            names = (f"{table.name}.{column.name}", column.name, column.type)
            lines.append(f"{quoted(column.name)} {next(types[name] for name in names if name in types)}")
    return ", ".join(lines)
