"""How a model is trained: which examples make a step, the loss, what is saved."""
