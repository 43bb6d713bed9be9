"""Loss, surprisal and perplexity of texts, with their units."""
