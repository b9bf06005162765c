"""Headrace: statistics, refreshes and workflows kept up to date from a PostgreSQL's own change stream."""
