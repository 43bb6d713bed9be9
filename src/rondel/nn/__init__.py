"""Recurrent stacks, dropouts and heads over PyTorch; of use to any sequence task."""
