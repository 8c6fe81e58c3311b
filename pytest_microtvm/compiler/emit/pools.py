"""The part of the C interface that is about the memory of a model."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_microtvm.compiler.emit.macros import STATE, Macros
from pytest_microtvm.compiler.emit.tidy import wrapped
from pytest_microtvm.compiler.planning import MemoryPlan
from pytest_microtvm.compiler.pools import PoolInfo, WorkspacePoolInfo
from pytest_microtvm.compiler.program import Port, Program
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES

_SCRATCH = (
    f"/* Scratch memory, aligned to {ALIGNMENT_BYTES} bytes; may be NULL when its size is "
    "0. Its\n   contents need not be kept between runs. */\n"
)
_BYTES_PER_LINE = 16
_POOL_MEMORY = """\
/* What the definition of a pool's memory begins with: how it is aligned, and the section in which
   a linker script finds it. */
#ifndef TVMGEN_POOL_MEMORY
#if defined(__GNUC__) && defined(__ELF__)
#define TVMGEN_POOL_MEMORY(alignment, name) __attribute__((aligned(alignment), section(name)))
#elif defined(__GNUC__)
#define TVMGEN_POOL_MEMORY(alignment, name) __attribute__((aligned(alignment)))
#else
#define TVMGEN_POOL_MEMORY(alignment, name)
#endif
#endif
"""


def check_names(program: Program, plan: MemoryPlan) -> None:
    """Refuse a pool that has the name of a device, or the macros of a tensor.

    Raises:
        ConfigError: There is one.
    """
    taken = {port.c_name.lower() for port in (*program.inputs, *program.outputs)}
    names = [pool.info.name for pool in plan.pools]
    for name in (*names, *(pool.info.name for pool in plan.constant_pools)):
        if program.device is not None and name.lower() == program.device.name:
            raise ConfigError(
                f"a pool has the name of the device {name}",
                cure="choose another name for the pool",
            )
        for kind in ("workspace", "constant"):
            if f"{name.lower()}_{kind}_pool" in taken:
                raise ConfigError(
                    f"the model has a tensor whose macros would be those of the pool {name}",
                    cure="choose another name for the pool",
                )


def pool_struct(macros: Macros) -> str:
    """The struct with a member for each pool that the application has memory for."""
    if not macros.has_pools:
        return ""
    members = [
        f"  void *{pool.info.name}; /* {macros.pool(pool.info, 'SIZE')} bytes */\n"
        for pool in macros.given_pools
    ]
    members += [
        "  /* Constants, which the application has filled with the bytes of _DATA. */\n"
        f"  const void *{pool.info.name}; /* {macros.pool(pool.info, 'SIZE')} bytes */\n"
        for pool in macros.constant_pools
    ]
    if macros.has_given_state:
        members.append(
            "  /* What the model keeps from run to run, aligned likewise: it belongs to one\n"
            "     sequence of inputs, and the function _reset initializes it. */\n"
            f"  void *{STATE}; /* {macros.state_pool_size} bytes */\n"
        )
    return f"{_SCRATCH}struct {macros.prefix}_workspace_pools {{\n{''.join(members)}}};\n\n"


def attributes(macros: Macros) -> str:
    """The macros by which the memory of each pool is aligned, and placed by a linker script."""
    pools = [
        (macros.pool(pool.info, "ATTRIBUTE"), macros.section(pool.info))
        for pool in macros.all_pools
    ]
    if macros.state_bytes:
        pools.append((macros.of_pool(STATE, "ATTRIBUTE"), f".bss.{macros.prefix}_{STATE}"))
    return attribute_macros(pools)


def attribute_macros(pools: Sequence[tuple[str, str]]) -> str:
    """Definitions of attribute macros.

    Args:
        pools: Of each the macro's name, and the section that it names.
    """
    parts = (
        f"#ifndef {name}\n#define {name} \\\n"
        f'  TVMGEN_POOL_MEMORY({ALIGNMENT_BYTES}, "{section}")\n#endif\n'
        for name, section in pools
    )
    return f"{_POOL_MEMORY}{''.join(parts)}\n"


def constants_header(macros: Macros, program: Program) -> str:
    """The macros with the bytes of the pools of constants."""
    parts = []
    for pool in macros.constant_pools:
        data = pool.data(program)
        lines = [
            ", ".join(map(str, data[start : start + _BYTES_PER_LINE]))
            for start in range(0, len(data), _BYTES_PER_LINE)
        ]
        listed = ", \\\n  ".join(lines)
        parts.append(f"#define {macros.pool(pool.info, 'DATA')} \\\n  {listed}\n")
    return (
        "/* What the pools of constants hold, byte by byte, as the initializer of an array of\n"
        "   uint8_t; numbers of several bytes begin with the lowest. */\n"
        "#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__\n"
        '#error "pools of constants are for CPUs that have the lowest byte first"\n'
        "#endif\n\n" + "\n".join(parts) + "\n"
    )


def internal_memory(macros: Macros) -> str:
    """The arrays in the model's library, for pools that the application gives no memory for."""
    lines = [
        f"{macros.pool(pool.info, 'ATTRIBUTE')} static uint8_t\n"
        f"    {array_name(pool.info)}[{macros.pool(pool.info, 'SIZE')}];\n"
        for pool in macros.internal_pools
        if pool.size_bytes
    ]
    if macros.state_bytes and not macros.has_given_state:
        lines.append(
            f"{macros.of_pool(STATE, 'ATTRIBUTE')} static uint8_t\n"
            f"    {STATE}_memory[{macros.state_pool_size}];\n"
        )
    comment = "/* The memory that the model has of its own. */\n"
    return f"{comment}{''.join(lines)}\n" if lines else ""


def array_name(pool: PoolInfo) -> str:
    """The array of a pool that is in the model's library."""
    return f"{pool.name}_memory"


def address(macros: Macros, pool: PoolInfo) -> str:
    """The start of a pool's memory in a function that was given the pools."""
    if isinstance(pool, WorkspacePoolInfo) and pool.internal:
        return array_name(pool)
    cast = "(uint8_t *)" if isinstance(pool, WorkspacePoolInfo) else "(const uint8_t *)"
    return f"{cast}workspace_pools->{pool.name}"


def is_plain(macros: Macros) -> bool:
    """Whether a run needs one pointer to memory only."""
    return len(macros.pools) == 1 and not macros.constant_pools and macros.device is None


def memory_struct(macros: Macros) -> str:
    """The struct by which the sources of a model know where its pools and devices are."""
    members = "".join(
        [
            *(f"  uint8_t *{pool.info.name};\n" for pool in macros.pools),
            *(f"  const uint8_t *{pool.info.name};\n" for pool in macros.constant_pools),
            *([f"  void *{macros.device.name}; /* a device */\n"] if macros.device else ()),
        ]
    )
    return (
        f"/* Where the pools are. */\nstruct {macros.prefix}_memory {{\n{members}}};\n\n"
        f"{execute_in_signature(macros)};\n\n"
    )


def execute_in_signature(macros: Macros) -> str:
    """The declaration of the call plan over several pools, without its semicolon."""
    return over_memory(macros, f"int32_t {macros.prefix}_execute_in")


def over_memory(macros: Macros, name: str) -> str:
    """The declaration of a function that is told where tensors, pools and devices are."""
    return (
        f"{name}(void *const *inputs, void *const *outputs,\n"
        f"    const struct {macros.prefix}_memory *memory)"
    )


def execute_signature(macros: Macros) -> str:
    """The declaration of the call plan over one arena, without its semicolon."""
    return (
        f"int32_t {macros.prefix}_execute(void *const *inputs, void *const *outputs,\n"
        "    uint8_t *workspace)"
    )


def execute_in_one_arena(macros: Macros) -> str:
    """The call plan over one arena, of a model with several pools: as the executors run it."""
    arrays = []
    lines = [f"struct {macros.prefix}_memory memory;"]
    for pool in macros.pools:
        offset = f" + {pool.offset}" if pool.offset else ""
        lines.append(f"memory.{pool.info.name} = workspace{offset};")
    for constants in macros.constant_pools:
        name = constants.info.name
        lines.append(f"memory.{name} = {name}_constants;")
        arrays.append(
            f"TVMGEN_ALIGNED static const uint8_t {name}_constants[] = {{\n"
            f"    {macros.pool(constants.info, 'DATA')}}};\n\n"
        )
    if macros.device is not None:
        lines.append(f"memory.{macros.device.name} = NULL;")
    lines.append(f"return {macros.prefix}_execute_in(inputs, outputs, &memory);")
    body = "".join(f"  {line}\n" for line in lines)
    return (
        f"{''.join(arrays)}"
        "/* Executors have one arena: the pools lie in it one after the other. */\n"
        f"{execute_signature(macros)} {{\n{body}}}\n\n"
    )


def map_declarations(macros: Macros) -> str:
    """What the header says of `map_definitions`."""
    if not macros.io_places:
        return ""
    return (
        "/* Where inputs and outputs are in their pools. */\n"
        f"{macros.map_signature('inputs')};\n{macros.map_signature('outputs')};\n\n"
    )


def map_definitions(macros: Macros) -> str:
    """The functions that tell where inputs and outputs are in their pools."""
    if not macros.io_places:
        return ""
    parts = []
    for kind in ("inputs", "outputs"):
        lines = [f"struct {macros.prefix}_{kind} {kind};"]
        ports = macros.ports(kind)
        lines += [f"{kind}.{port.c_name} = {place_of(macros, port)};" for port in ports]
        lines += [] if ports else [f"{kind}.unused = NULL;"]
        lines.append(f"return {kind};")
        if macros.has_pools and not any("workspace_pools" in line for line in lines):
            lines.insert(0, "(void)workspace_pools;")
        body = "".join(f"{part}\n" for line in lines for part in wrapped(line, "  "))
        parts.append(f"\n{macros.map_signature(kind)} {{\n{body}}}\n")
    return "".join(parts)


def place_of(macros: Macros, port: Port) -> str:
    """Where an input or output is, in a function that was given the pools."""
    pool, _ = macros.io_places[port.c_name]
    return f"{address(macros, pool.info)} + {macros.offset(port)}"
