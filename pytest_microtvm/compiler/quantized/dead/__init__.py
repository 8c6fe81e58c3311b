"""Leaves out what a quantized network computes for nothing, so that no byte of its outputs changes.

    network    layers and tensors in plain data, with the channels of a tensor last
    relations  how the channels of a layer's inputs and of its output belong together
    weighted   what layers with weights have in common: sums, folded channels, rows without some
    known      channels whose values are known ahead of time: images, nearly always of one value
    shrunk     a layer with fewer channels
    equal      channels that are equal to others of their tensor
    removal    which channels go, until nothing changes
    count      what was dead
    module     a Relax module as a network, and back

Only `module` knows TVM.
"""
