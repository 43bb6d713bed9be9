"""Looking inside a model: what its units do over a text, what they mean, and the proof."""
