"""A recurrent stack's training step: forward, back through time, gradients of the weights."""
