"""What is trained, as PyTorch modules: they turn a batch into named losses."""
