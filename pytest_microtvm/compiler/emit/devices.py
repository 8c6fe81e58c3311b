"""The part of the C interface that is about the accelerator of a model."""

from __future__ import annotations

from pytest_microtvm.compiler.emit.macros import Macros
from pytest_microtvm.compiler.program import Device

_BEFORE, _AFTER = ("Activate", "Open"), ("Close", "Deactivate")


def device_declarations(macros: Macros) -> str:
    """The struct of the devices, and the hooks that the application or a library defines."""
    device = macros.device
    if device is None:
        return ""
    hooks = "".join(f"int32_t {device.hook(what)}(void *context);\n" for what in _BEFORE + _AFTER)
    return (
        "/* The devices that kernels run on. */\n"
        f"#define {macros.device_id} {device.id}\n\n"
        f"struct {macros.prefix}_devices {{\n"
        f"  void *{device.name}; /* what the hooks and the kernels are given; may be NULL */\n"
        "};\n\n"
        "/* Called around a run in this order; each returns 0, or the run fails. When one fails,\n"
        "   those follow that undo what was done before it. */\n"
        f"{hooks}\n"
    )


def around(failed: str, device: Device, run: str, instance: str) -> list[str]:
    """Statements that run something between the hooks of a device, and return its status.

    Args:
        failed: The status where a hook fails.
        device: The device.
        run: An expression that runs it, and has a status.
        instance: What the hooks are given.
    """
    (activate, opened), (close, deactivate) = (
        [device.hook(what) for what in part] for part in (_BEFORE, _AFTER)
    )
    return [
        f"int32_t status = {failed};",
        f"if ({activate}({instance}) != 0) {{",
        "  return status;",
        "}",
        f"if ({opened}({instance}) == 0) {{",
        f"  status = {run};",
        f"  if ({close}({instance}) != 0) {{",
        f"    status = {failed};",
        "  }",
        "}",
        f"if ({deactivate}({instance}) != 0) {{",
        f"  status = {failed};",
        "}",
        "return status;",
    ]
