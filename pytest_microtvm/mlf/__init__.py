"""The archive in Model Library Format, the only thing that passes from the compiler to the rest.

library        write, open, validate and unpack archives
graph          the graph of an archive: what to call, in which order, on what
graph_check    whether a graph hangs together
"""
