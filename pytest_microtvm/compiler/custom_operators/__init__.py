"""Custom operators that TensorFlow Lite Micro has, too (see `compiler.custom`)."""
