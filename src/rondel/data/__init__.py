"""Tokens on disk and batches of them."""
