"""The tables of campaign statistics."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in migration_sql("0002_campaign_stats"):
        op.execute(statement)
