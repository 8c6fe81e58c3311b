"""TVM's own RPC client against the C server: client, bridge and device are three processes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_S = 45
PACKET_BYTES = 1024
MAX_PACKET_BYTES = PACKET_BYTES - 16
COPY_OVERHEAD_BYTES = 60  # of a tensor of two dimensions, see docs/protocol.md
ROOT = Path(__file__).parents[2]


def test_stock_client(host_server: Path) -> None:
    if importlib.util.find_spec("tvm") is None:
        pytest.skip("apache-tvm is missing; install it with: pip install apache-tvm")
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.c.tcp_bridge",
            host_server,
            str(PACKET_BYTES),
            str(TIMEOUT_S),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as bridge:
        try:
            assert bridge.stdout is not None
            port = bridge.stdout.readline().strip()
            client = subprocess.run(
                [sys.executable, "-m", "tests.c.stock_client", port],
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
    seen = json.loads(client.stdout)

    assert seen["build_id"] == "0123456789abcdef"
    assert seen["max_packet"] == MAX_PACKET_BYTES
    assert (seen["shape"], seen["dtype"]) == ([64, 64], "float32")
    assert 0.0 <= seen["seconds"] < 10.0
    assert seen["correct"]
    assert seen["input_kept"]
    assert (
        "microtvm.model.get_input: index out of range: there are 1 (status -33)" in seen["bad_index"]
    )
    assert "microtvm.model.get_output: index out of range" in seen["negative_index"]
    assert "microtvm.model.get_input: wrong type of an argument" in seen["wrong_type"]
    assert "microtvm.model.get_input: wrong number of arguments" in seen["no_argument"]
    assert seen["unknown"].startswith("AttributeError")
    assert "16 bytes asked, largest free block 0" in seen["allocation"]
    assert seen["after_errors"] == 3.0
    assert "microtvm.model.run: a kernel failed (status -40)" in seen["failed_run"]

    packets = [tuple(map(int, line.split())) for line in traffic.splitlines()]
    assert packets[-1] == (1, 4)
    assert max(size for _, size in packets) == MAX_PACKET_BYTES
    # 16384 bytes in portions that fill the largest packet: twice to the device, three times back.
    portions = -(-16384 // (MAX_PACKET_BYTES - COPY_OVERHEAD_BYTES))
    assert [code for code, _ in packets].count(7) == 2 * portions
    assert [code for code, _ in packets].count(6) == 3 * portions
