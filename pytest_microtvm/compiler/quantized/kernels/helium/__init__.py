"""Kernels for Arm's M-profile vector extension (Helium)."""
