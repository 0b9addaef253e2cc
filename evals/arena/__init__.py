"""Blind battles of two models, votes on them, and what the votes say."""
