"""The platform `baremetal`: firmware without an operating system, on real boards and in QEMU."""

from __future__ import annotations

from pytest_microtvm.project import server


class BareMetal(server.MicrocontrollerHandler):
    """Firmware that nothing else runs beside."""

    platform_name = "baremetal"


if __name__ == "__main__":
    server.main(BareMetal(__file__))
