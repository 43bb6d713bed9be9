"""How a token is chosen from logits: rules, modes, and the one place that draws."""
