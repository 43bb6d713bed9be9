"""Preparing a text: tokens on disk, and batches of them."""
