"""Sharing work among threads: tasks, a barrier, and measuring which way is the fastest."""
