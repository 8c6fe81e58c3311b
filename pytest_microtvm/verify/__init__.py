"""Verdicts: what goes in, what should come out, and how far the device is from it."""
