"""Trainable models as PyTorch modules, which compute named losses of a batch."""
