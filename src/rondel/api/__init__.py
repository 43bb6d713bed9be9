"""rondel in Python: train a model, load one, and use it by the class of its kind."""
