"""Finds the quantized operators of a Relax module, and says what each computes as a spec."""
