"""The embedded models: their world, their tokenizer, their training."""
