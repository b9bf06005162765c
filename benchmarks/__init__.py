"""Measurements: Headrace against the alternatives, in one run on one server."""
