"""Searches for likely texts: beam search, filling gaps, imputation, Gibbs sampling."""
