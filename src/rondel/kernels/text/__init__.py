"""Text as UTF-8 bytes: its characters, and the words between its white space."""
