"""Measurements: what Headrace does against the alternatives, in one run on one server."""
