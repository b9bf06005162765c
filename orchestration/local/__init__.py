"""Headrace on one machine: the embedded server, its home, the processes of `headrace up`."""
