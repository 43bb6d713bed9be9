"""Parts of the subword tokenizer: splitting, learning a vocabulary, other tools' files."""
