"""TVM's own RPC client against the C server: client, bridge and device are three processes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 45
PACKET_BYTES = 1024
MAX_PACKET_BYTES = PACKET_BYTES - 16
COPY_OVERHEAD_BYTES = 60  # of a tensor of two dimensions, see docs/protocol.md
POOL_BYTES = 6 * 16384
ROOT = Path(__file__).parents[2]


def run_client(
    host_server: Path, what: str, executor: str, pool_bytes: int = 0
) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
    """What the client saw, and the code and size of each packet that went to the device."""
    if importlib.util.find_spec("tvm") is None:
        pytest.skip("apache-tvm is missing; install it with: pip install apache-tvm")
    bridge_arguments = [PACKET_BYTES, TIMEOUT_S, executor, pool_bytes]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.c.tcp_bridge", host_server, *map(str, bridge_arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as bridge:
        try:
            assert bridge.stdout is not None
            port = bridge.stdout.readline().strip()
            client = subprocess.run(
                [sys.executable, "-m", "tests.c.stock_client", port, what],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            assert client.returncode == 0, client.stderr
            traffic, _ = bridge.communicate(timeout=TIMEOUT_S)
        finally:
            bridge.kill()
    assert bridge.returncode == 0
    packets = [tuple(map(int, line.split())) for line in traffic.splitlines()]
    return json.loads(client.stdout), packets


def test_memory_kernels_and_measurements(host_server: Path) -> None:
    seen, _ = run_client(host_server, "kernels", "host_driven", POOL_BYTES)
    assert seen["executor"] == "host_driven"
    for check in ("correct", "copied", "measured", "view", "whole"):
        assert seen[check], check
    assert seen["one"] == 1.0
    assert seen["first"] == [4]
    assert len(seen["times"]) == 5
    assert all(0.0 < seconds < 1.0 for seconds in seen["times"])
    assert seen["no_kernel"].startswith("AttributeError")
    assert "toy_twice: inconsistent tensor: argument 1 must have 16384 bytes" in seen["too_small"]
    assert "4194304 bytes requested" in seen["too_much"]
    assert "copy to device: address outside" in seen["constant"]
    assert seen["again"] == [3, 64, 64]


@pytest.mark.parametrize("executor", ["aot", "graph"])
def test_a_model(host_server: Path, executor: str) -> None:
    seen, packets = run_client(host_server, "model", executor)
    assert seen["build_id"] == "0123456789abcdef"
    assert seen["max_packet"] == MAX_PACKET_BYTES
    assert (seen["shape"], seen["dtype"]) == ([64, 64], "float32")
    assert 0.0 <= seen["seconds"] < 10.0
    assert seen["correct"]
    assert seen["input_kept"]
    assert (
        "microtvm.model.get_input: index out of range: there are 1 (status -33)"
        in seen["bad_index"]
    )
    assert "microtvm.model.get_output: index out of range" in seen["negative_index"]
    assert "microtvm.model.get_input: wrong type of an argument" in seen["wrong_type"]
    assert "microtvm.model.get_input: wrong number of arguments" in seen["no_argument"]
    assert seen["unknown"].startswith("AttributeError")
    assert "16 bytes requested, largest free block 0" in seen["allocation"]
    assert seen["after_errors"] == 3.0
    assert "microtvm.model.run: a kernel failed (status -40)" in seen["failed_run"]

    assert 0.0 < seen["mean"] < 10.0

    assert packets[-1] == (1, 4)
    assert max(size for _, size in packets) == MAX_PACKET_BYTES
    # 16384 bytes in portions that fill the largest packet, three times each way.
    portions = -(-16384 // (MAX_PACKET_BYTES - COPY_OVERHEAD_BYTES))
    assert [code for code, _ in packets].count(7) == 3 * portions
    assert [code for code, _ in packets].count(6) == 3 * portions
