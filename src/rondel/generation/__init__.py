"""Text generation: primes, streams and their scheduler, sampling, and searches for likely texts."""
