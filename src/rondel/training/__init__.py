"""Training: the loop, learners, schedules, optimisers, callbacks, resuming."""
