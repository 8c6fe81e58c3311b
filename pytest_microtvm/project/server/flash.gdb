# Writes the program to the target that is connected, compares, and resets. The first error ends it.
load
compare-sections
monitor reset
detach
