"""Searches for likely texts: beam search, gaps filled, words imputed, tokens redrawn."""
