"""Saying how likely a text is, in stated units."""
