"""The wire protocol of docs/protocol.md: pure bytes in and out, no I/O and no clock.

`framing` puts payloads on a byte stream and finds them again, `session` adds the session header and
the start of a session, `rpc` knows just enough of TVM's RPC packets to carry them.
"""
