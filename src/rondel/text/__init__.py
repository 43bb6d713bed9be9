"""Text: reading files, tokenizers, sentences, word vectors, corpora."""
