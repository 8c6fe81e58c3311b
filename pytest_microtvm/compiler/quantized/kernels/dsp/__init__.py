"""Kernels for Arm's DSP extension."""
