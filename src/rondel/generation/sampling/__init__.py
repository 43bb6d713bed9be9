"""Choosing a token from logits: rules, modes, and the one place that draws random numbers."""
