"""The way from a model to a verdict: takes the steps, each once, and keeps what they made.

cache                what was compiled or built once is never made again
workshop             from a model to an archive, from an archive to built firmware
opening              puts a harness together: `open_harness()`
harness              models, firmware and devices of one run
rig                  the real boards of a run
model_under_test     one model on one board with one executor
evaluation           a data set on a device, and on this computer beside it
measuring            the figures of a firmware and of the device that runs it
selftest             a model that needs no compiler, to try a board with
progress             tells what takes time
"""
