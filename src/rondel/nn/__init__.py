"""Recurrent stacks and dropout in PyTorch, for any sequence task."""
