"""The stock TVM RPC client, without TVM's compiler.

`import tvm` loads the compiler, a library of 250 MB and most of a second. The RPC client is in the
small runtime library of the same wheel, and `tvm_ffi` reaches it: that is all a session needs.
Nothing here keeps a test from importing tvm as a whole, before or after.

Facts about the client (apache-tvm 0.27): a call releases the GIL, but the destructor of a handle
sends free-handle and waits for the answer with the GIL held, so the far end must be another
process.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_microtvm.errors import ConfigError


class RpcError(Exception):
    """The far end answered with an exception, or the connection broke."""


class RpcClient:
    """A connection to an RPC server on this machine.

    Args:
        port: TCP port on the loopback address.
        key: What the server knows this client by.

    Raises:
        RpcError: No connection, or the server refused it.
    """

    def __init__(self, port: int, key: str) -> None:
        connect = _runtime_function("rpc.Connect")
        self._module: Any = _guard(connect, "127.0.0.1", port, key, False)
        self._functions: dict[str, Any] = {}

    def call(self, name: str, *arguments: object) -> Any:
        """Call a function of the device by its name.

        Raises:
            RpcError: There is no such function, it raised, or the connection broke.
        """
        if name not in self._functions:
            function = _guard(self._module.get_function, name)
            if function is None:
                raise RpcError(f"the device has no function {name!r}")
            self._functions[name] = function
        return _guard(self._functions[name], *arguments)

    def copy_to(self, tensor: Any, array: NDArray[np.generic]) -> None:
        """Write an array into a tensor of the device, of the same size in bytes.

        Raises:
            RpcError: The device refused it, or the connection broke.
        """
        copy = _runtime_function("runtime.TVMTensorCopyFromBytes")
        _guard(copy, tensor, array.ctypes.data_as(ctypes.c_void_p), array.nbytes)

    def copy_from(self, tensor: Any, array: NDArray[np.generic]) -> None:
        """Fill an array from a tensor of the device, of the same size in bytes.

        Raises:
            RpcError: The device refused it, or the connection broke.
        """
        copy = _runtime_function("runtime.TVMTensorCopyToBytes")
        _guard(copy, tensor, array.ctypes.data_as(ctypes.c_void_p), array.nbytes)

    def use(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call something that uses this connection, and report its errors as of `call`.

        Raises:
            RpcError: Whatever it raised.
        """
        return _guard(function, *arguments)

    @functools.cached_property
    def session(self) -> Any:
        """This connection as TVM's own session object, `tvm.rpc.RPCSession`; imports tvm."""
        import tvm.rpc

        return tvm.rpc.RPCSession(self._module)

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        """A tensor in the device's memory, as TVM's own (`tvm.runtime.Tensor`); imports tvm.

        Raises:
            Exception: Whatever TVM's client raises when the device has no room.
        """
        from tvm.runtime import empty

        return empty(shape, dtype, self.session.device("cpu", 0))

    def close(self) -> None:
        """Send shutdown and close the connection; never raises, never waits for the device."""
        self._functions.clear()
        self.__dict__.pop("session", None)
        module, self._module = self._module, None
        if module is not None:
            with contextlib.suppress(RpcError):  # it may be gone already
                _guard(module.get_function("CloseRPCConnection"))


def _guard(function: Callable[..., Any], *arguments: object) -> Any:
    try:
        return function(*arguments)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        # tvm_ffi raises many types (RuntimeError, ValueError, its own); all mean the same here.
        raise RpcError(_first_lines(str(error))) from error


def _first_lines(message: str) -> str:
    """The client's message without its C++ backtrace."""
    return message.split("\nStack trace", 1)[0].strip()


@functools.cache
def _runtime_function(name: str) -> Callable[..., Any]:
    load_runtime()
    import tvm_ffi

    function: Callable[..., Any] = tvm_ffi.get_global_func(name)
    return function


@functools.cache
def load_runtime() -> ctypes.CDLL:
    """Load TVM's runtime library next to the tvm package, which stays unimported."""
    spec = importlib.util.find_spec("tvm")
    if spec is None or spec.origin is None:
        raise ConfigError("TVM is not installed", cure="pip install apache-tvm")
    directory = Path(spec.origin).parent / "lib"
    for name in ("libtvm_runtime.so", "libtvm_runtime.dylib"):
        if (directory / name).is_file():
            import tvm_ffi  # noqa: F401  (its library must be loaded first)

            return ctypes.CDLL(str(directory / name), ctypes.RTLD_GLOBAL)
    raise ConfigError(
        f"TVM's runtime library is not in {directory}",
        cure="pip install --force-reinstall apache-tvm",
    )
