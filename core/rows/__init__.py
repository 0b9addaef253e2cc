"""Rows of the files that people bring, whether to measure a model on them or to train it."""
