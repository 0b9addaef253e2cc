"""What runs a local model: one protocol, two engines."""
