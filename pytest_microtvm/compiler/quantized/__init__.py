"""Keeps quantized models in integers: from groups of float operators to kernels over int8.

    groups        finds dequantize -> operator -> quantize in a Relax module, makes calls of kernels
    recognise/    from such a group to a spec
    arithmetic    TFLite's fixed-point numbers, as the kernels compute them
    dead/         leaves out channels that are computed for nothing
    specs         what a kernel has to do, in plain data
    kernels/      specs to C, a folder for each kind of CPU
    cpu, operator what other packages add: kernels for a CPU, an operator

Only `groups`, `dead/module` and `recognise/` know TVM, only `kernels/` writes C.
"""
