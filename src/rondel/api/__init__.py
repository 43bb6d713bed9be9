"""The Python API: train a model, load one, and use it by the class of its kind."""
