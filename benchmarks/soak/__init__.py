"""`make soak`: traffic for minutes, workers killed at random, a server that restarts; then every number counted again."""
