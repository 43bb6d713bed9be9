"""Vectors in registers: matrix products, 8-bit products, rows, packing and pointwise passes."""
