"""From examples to adapters; so far, the pretraining of the embedded models."""
