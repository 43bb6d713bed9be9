"""Vectors in registers: matmuls, 8-bit products, row operations, packing, pointwise functions."""
