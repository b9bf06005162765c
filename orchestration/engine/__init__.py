"""The resident side: change streams, the worker, its housekeeping."""
