"""Kernels in C, made for their shapes: a module for each family of operators."""
