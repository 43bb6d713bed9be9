"""A recurrent stack run forward only: reading tokens, and streams that write."""
