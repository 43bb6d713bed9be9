"""Text: where it comes from, and how it becomes tokens and comes back."""
