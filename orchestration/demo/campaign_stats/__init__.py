"""The example application's campaigns: rows, traffic, and the actors that write it."""
