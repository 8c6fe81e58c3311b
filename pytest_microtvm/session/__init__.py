"""Sessions with devices: `Session` is an open device, `bridge` the process between it and us."""
