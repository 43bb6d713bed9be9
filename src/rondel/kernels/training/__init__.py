"""A recurrent stack's training step: forward, backward through time, gradients of the weights."""
