"""Keeps quantized models in integers: from groups of float operators to kernels over int8.

    groups        finds dequantize -> operator -> quantize in a Relax module, makes calls of kernels
    arithmetic    TFLite's fixed-point numbers, as the kernels compute them
    specs         what a kernel has to do, in plain data
    kernels/      specs to C, a module for each family of operators

Only `groups` knows TVM, only `kernels/` writes C.
"""
