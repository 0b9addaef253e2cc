"""A request and everything it touches."""
