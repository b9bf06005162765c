"""What a domain brings is noted as that domain's."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for statement in migration_sql("0012_domains"):
        op.execute(statement)
