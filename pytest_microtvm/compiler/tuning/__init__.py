"""Tuning logs: which way to write a kernel was measured to be the fastest, by core and shape.

    records   a line of a log
    selection which of several measured ways to take
    log       logs as they are read and put together, and the choices that follow

Logs for some cores come with the package (`tuning_files`); `microtvm tune` made them.
"""
