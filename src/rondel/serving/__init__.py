"""The HTTP service: models that write many texts at a time, scores, traces and the page."""
