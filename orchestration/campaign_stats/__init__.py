"""Campaign statistics in Dagster: assets, checks and the sensor that reports the worker's progress."""
