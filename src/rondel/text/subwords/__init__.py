"""What a tokenizer of subwords stands on: splitting, learning a vocabulary, files of others."""
