"""The way of a request to a model, and what it may cost."""
