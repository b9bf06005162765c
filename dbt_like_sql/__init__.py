"""The SQL engine: migrations, staging views, models, functions and triggers, shipped as files."""
