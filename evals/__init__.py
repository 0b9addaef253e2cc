"""Tasks, runs and decisions; nothing is here yet."""
