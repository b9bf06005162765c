"""The example application's campaigns: rows, traffic, those who write it."""
