"""The parts that every domain's Dagster side is made of."""
