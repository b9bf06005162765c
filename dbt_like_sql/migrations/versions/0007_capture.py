"""What capture notes of the source tables: their columns and partitions."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for statement in migration_sql("0007_capture"):
        op.execute(statement)
