"""Sharing work among threads: tasks, a barrier, and an autotuner that picks the fastest split."""
