"""The example application: its schema, its rows, its traffic."""
