"""Inspect a model: trace its units over a text, relate them to features, and ablate them."""
