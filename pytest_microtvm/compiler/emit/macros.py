"""The names that the C interface of a model is made of."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_microtvm.compiler.constant_planning import PlannedConstants
from pytest_microtvm.compiler.planning import MemoryPlan, PlannedPool
from pytest_microtvm.compiler.pools import ConstantPoolInfo, PoolInfo
from pytest_microtvm.compiler.program import Port, Program

STATE = "state"
"""The member of the pools that holds what a model keeps from run to run."""


class Macros:
    """What the header of a model defines, and which of it its functions take.

    Args:
        name: The module's name, a C identifier.
        program: The lowered model.
        plan: Where everything is.
    """

    def __init__(self, name: str, program: Program, plan: MemoryPlan) -> None:
        self.name = name
        self.prefix = f"tvmgen_{name}"
        self.macro_prefix = f"TVMGEN_{name.upper()}"
        self.inputs: Sequence[Port] = program.model_inputs
        self.outputs: Sequence[Port] = program.model_outputs
        self.state_bytes = program.state_offsets[-1]
        self.pools: Sequence[PlannedPool] = plan.pools
        self.constant_pools: Sequence[PlannedConstants] = plan.constant_pools
        self.io_places = {
            port.c_name: plan.place_of(offset)
            for ports, offsets in (
                (self.inputs, plan.input_offsets),
                (self.outputs, plan.output_offsets),
            )
            for port, offset in zip(ports if offsets else (), offsets, strict=True)
        }
        """By the C name of an input or output that has a place in a pool: the pool, and where."""
        self.device = program.device
        """The accelerator that kernels run on, if there is one."""
        self.is_io_given = not plan.io_pool
        """Whether a run takes inputs and outputs; else they are at their places."""

    # What the application gives.

    @property
    def given_pools(self) -> list[PlannedPool]:
        """The pools that the application has memory for."""
        return [pool for pool in self.pools if not pool.info.internal]

    @property
    def internal_pools(self) -> list[PlannedPool]:
        """The pools that are in the model's library."""
        return [pool for pool in self.pools if pool.info.internal]

    @property
    def all_pools(self) -> list[PlannedPool | PlannedConstants]:
        """The pools of both kinds."""
        return [*self.pools, *self.constant_pools]

    @property
    def has_given_state(self) -> bool:
        """Whether the application has the memory for what is kept; else the library has it."""
        return bool(self.state_bytes and self.given_pools)

    @property
    def has_pools(self) -> bool:
        """Whether there is anything in the struct of the pools."""
        return bool(self.given_pools or self.constant_pools)

    @property
    def num_given_pools(self) -> int:
        """The members of the struct of the pools."""
        pools = len(self.given_pools) + len(self.constant_pools)
        return pools + self.has_given_state if self.has_pools else 0

    @property
    def pools_parameter(self) -> list[str]:
        """The parameter with the pools, if a function of the model takes them."""
        struct = f"const struct {self.prefix}_workspace_pools *workspace_pools"
        return [struct] if self.has_pools else []

    @property
    def run_parameters(self) -> list[str]:
        """The parameters of a run."""
        io = [
            f"const struct {self.prefix}_inputs *inputs",
            f"const struct {self.prefix}_outputs *outputs",
        ]
        devices = [f"const struct {self.prefix}_devices *devices"] if self.device else []
        return [*(io if self.is_io_given else ()), *self.pools_parameter, *devices]

    @property
    def run_arguments(self) -> list[str]:
        """The names of the parameters of a run."""
        return [parameter.rpartition("*")[2] for parameter in self.run_parameters]

    @property
    def run_signature(self) -> str:
        """The declaration of tvmgen_<m>_run, without its semicolon."""
        return self.function("int32_t", "run", self.run_parameters)

    @property
    def reset_signature(self) -> str:
        """The declaration of tvmgen_<m>_reset, without its semicolon."""
        given = self.pools_parameter if self.has_given_state else []
        return self.function("int32_t", "reset", given)

    def map_signature(self, kind: str) -> str:
        """The declaration of the function that tells where inputs or outputs are in a pool.

        Args:
            kind: "inputs" or "outputs".
        """
        return self.function(f"struct {self.prefix}_{kind}", f"map_{kind}", self.pools_parameter)

    def function(self, result: str, name: str, parameters: Sequence[str]) -> str:
        """A declaration with each parameter on its own line, without its semicolon."""
        listed = "".join(f",\n    {parameter}" for parameter in parameters)
        return f"{result} {self.prefix}_{name}({listed.removeprefix(',') or 'void'})"

    def ports(self, kind: str) -> Sequence[Port]:
        """The "inputs" or the "outputs"."""
        return self.inputs if kind == "inputs" else self.outputs

    def constant(self, number: int) -> str:
        """The array of a constant in flash."""
        return f"{self.prefix}_data_{number}"

    # Names of macros.

    @property
    def ok(self) -> str:
        """The status of a run that succeeded."""
        return f"{self.macro_prefix}_OK"

    @property
    def null_pointer(self) -> str:
        """The status of a run that was given a null pointer."""
        return f"{self.macro_prefix}_ERROR_NULL_POINTER"

    @property
    def device_failed(self) -> str:
        """The status of a run in which a hook of a device failed."""
        return f"{self.macro_prefix}_ERROR_DEVICE"

    @property
    def device_id(self) -> str:
        """The id of the device in a context."""
        name = "" if self.device is None else self.device.name.upper()
        return f"{self.macro_prefix}_{name}_DEVICE_ID"

    @property
    def workspace_size(self) -> str:
        """The size of all pools together."""
        return f"{self.macro_prefix}_WORKSPACE_SIZE"

    @property
    def state_pool_size(self) -> str:
        """The size of what the model keeps from run to run."""
        return self.of_pool(STATE, "SIZE")

    def pool(self, pool: PoolInfo, what: str) -> str:
        """A macro about a pool: its SIZE, its ATTRIBUTE, or the DATA of constants."""
        kind = "CONSTANT" if isinstance(pool, ConstantPoolInfo) else "WORKSPACE"
        return self.of_pool(pool.name, what, kind)

    def of_pool(self, name: str, what: str, kind: str = "WORKSPACE") -> str:
        """Likewise, by the pool's name."""
        return f"{self.macro_prefix}_{name.upper()}_{kind}_POOL_{what}"

    def section(self, pool: PoolInfo) -> str:
        """The linker section that the attribute of a pool names."""
        if pool.section:
            return pool.section
        kind = "rodata" if isinstance(pool, ConstantPoolInfo) else "bss"
        return f".{kind}.{self.prefix}_{pool.name}"

    def size(self, port: Port) -> str:
        """The macro with the size in bytes of an input or output."""
        return self._of(port, "SIZE")

    def offset(self, port: Port) -> str:
        """The macro with the place of an input or output in its pool, when it has one."""
        return self._of(port, "OFFSET")

    def scale(self, port: Port) -> str:
        """The macro with the scale of an input or output, when it is quantized."""
        return self._of(port, "SCALE")

    def zero_point(self, port: Port) -> str:
        """The macro with the zero point of an input or output, when it is quantized."""
        return self._of(port, "ZERO_POINT")

    def _of(self, port: Port, what: str) -> str:
        return f"{self.macro_prefix}_{port.c_name.upper()}_{what}"
