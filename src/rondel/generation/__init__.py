"""Making text: rules that shape the next token's distribution, and the one place that draws."""
