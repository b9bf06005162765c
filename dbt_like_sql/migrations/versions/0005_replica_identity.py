"""Tables without a primary key may be updated where a publication covers all tables."""

from alembic import op

from orchestration.database.sql_files import migration_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for statement in migration_sql("0005_replica_identity"):
        op.execute(statement)
