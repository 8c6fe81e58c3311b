"""The verdict: inputs, reference outputs, their comparison, and where a difference begins."""
