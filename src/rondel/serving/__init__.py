"""The service: models behind HTTP, many texts at a time."""
