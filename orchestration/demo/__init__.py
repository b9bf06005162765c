"""The example application: embedded server, its schema, its rows, its traffic."""
