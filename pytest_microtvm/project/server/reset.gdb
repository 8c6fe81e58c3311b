# Resets the target that is connected.
monitor reset
detach
