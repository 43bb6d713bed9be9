"""Forward passes of a recurrent stack: over whole sequences, and streams that feed themselves."""
