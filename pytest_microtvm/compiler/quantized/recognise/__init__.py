"""Says what the kernel of a group of operators has to do: from Relax to specs.

values              what variables stand for
matches             what recognizers are given, and what they find
simple, weighted    recognizers of operators without and with weights
images              those of pools and resizes
attention           those of products of two tensors, softmax and layer normalization
table               which recognizers are asked for which Relax operator
"""
