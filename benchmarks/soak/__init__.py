"""`make soak`: minutes of traffic, workers killed at random, server restarts; then a recount of every number."""
