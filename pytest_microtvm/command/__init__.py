"""The `microtvm` command."""
