"""What every domain's Dagster side is made of."""
