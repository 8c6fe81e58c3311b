"""A lab of boards that are not there: QEMU stands for each, and everything around it is real.

To whoever uses it a virtual board looks like one on a desk: a serial port (a pseudo-terminal behind
a stable path), a debug probe (a gdb server on a TCP port), flash that keeps its contents without
power, a power switch, and a cable that can be pulled. `client.VirtualLab` starts one.

    client ── lines of JSON ── server: event loop ── board: port, probe, switch ── machine: QEMU

The server is a process of its own, because a test that waits for its device holds the GIL.
"""
