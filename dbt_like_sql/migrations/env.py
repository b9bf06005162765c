"""Alembic's entry: runs the versions on the connection that orchestration.install.migrate hands over, in its transaction."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="schema_version", version_table_schema="headrace")
context.run_migrations()
