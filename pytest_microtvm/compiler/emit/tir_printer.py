"""Prints one lowered TIR function as the body of a C function over plain pointers.

TVM's own C printer writes floats with 7 digits, needs TVM's headers and packed calling conventions,
and evaluates the operands of min and max twice. This one prints what the passes in `kernels` leave,
and refuses everything else by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_microtvm.compiler.emit.literals import literal
from pytest_microtvm.compiler.emit.tir_helpers import HELPERS, MATH_NAMES
from pytest_microtvm.compiler.emit.tir_nodes import (
    UnsupportedKernel,
    checked_dtype,
    dtype_of,
    element_count,
    is_buffer,
    kind_of,
    viewed_by,
)
from pytest_microtvm.compiler.naming import LIBRARY_FUNCTIONS, Namespace
from pytest_microtvm.compiler.program import (
    C_TYPES,
    STACK_LIMIT_BYTES,
    KernelParameter,
    align_up,
    dtype_bytes,
)

_BINARY = {
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "Div": "/",
    "Mod": "%",
    "EQ": "==",
    "NE": "!=",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "And": "&&",
    "Or": "||",
    "BitwiseAnd": "&",
    "BitwiseOr": "|",
    "BitwiseXor": "^",
    "LShift": "<<",
    "RShift": ">>",
}
_BINARY_CALLS = {
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "shift_left": "<<",
    "shift_right": ">>",
}
_COMPARISONS = frozenset({"EQ", "NE", "LT", "LE", "GT", "GE", "And", "Or"})
_NARROW = frozenset({"int8", "int16", "uint8", "uint16"})

_PASS_THROUGH_CALLS = frozenset({"likely", "tvm_thread_invariant"})
_LOOP_CALLS = {"break_loop": "break;", "continue_loop": "continue;"}


@dataclass
class PrintedKernel:
    """What `print_kernel` made of a function."""

    parameters: tuple[KernelParameter, ...]
    workspace_bytes: int
    body: str
    helpers: frozenset[str]


@dataclass
class _Line:
    """A line of C; it may be dropped with what it makes, if nothing reads that.

    Attributes:
        text: It.
        uses: How often it uses each name.
        defines: The variable that it introduces.
        fills: The buffer of this function, one of its `uses`, that it stores to.
    """

    text: str
    uses: Counter[str] = field(default_factory=Counter)
    defines: str | None = None
    fills: str | None = None


def print_kernel(function: Any) -> PrintedKernel:
    """Print a TIR `PrimFunc` in flat form.

    Args:
        function: After `kernels.PASSES`: flat buffers, no blocks, no vectors.

    Raises:
        UnsupportedKernel: The function needs something that plain C kernels do not have.
    """
    return _Printer(function).print()


class _Printer:
    """Prints one function; see `print_kernel`."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._names = Namespace(LIBRARY_FUNCTIONS | HELPERS.keys() | {"workspace"})
        self._variables: dict[Any, str] = {}
        self._roots: dict[Any, Any] = {}
        self._written: set[Any] = set()
        self._allocations: list[Any] = []
        self._arena: dict[Any, int] = {}
        self._buffers: set[str] = set()
        self._lines: list[_Line] = []
        self._uses: Counter[str] = Counter()
        self._helpers: set[str] = set()
        self._depth = 1

    def print(self) -> PrintedKernel:
        function = self._function
        self._survey(function.body)
        workspace_bytes = self._assign_arena()
        parameters = [self._parameter(variable) for variable in function.params]
        self._statement(function.body)
        uses = self._drop_unused()
        unused = [p.name for p in parameters if not uses[p.name]]
        if workspace_bytes and not uses["workspace"]:
            unused.append("workspace")
        body = "".join(f"  (void){name};\n" for name in unused)
        body += "".join(f"{line.text}\n" for line in self._lines)
        return PrintedKernel(tuple(parameters), workspace_bytes, body, frozenset(self._helpers))

    # Survey: which buffers are views of which, which are written, which are allocated.

    def _survey(self, statement: Any) -> None:
        kind = kind_of(statement)
        if kind == "SeqStmt":
            for child in statement.seq:
                self._survey(child)
        elif kind in ("For", "AttrStmt", "While"):
            self._survey(statement.body)
        elif kind == "IfThenElse":
            self._survey(statement.then_case)
            if statement.else_case is not None:
                self._survey(statement.else_case)
        elif kind == "AllocBuffer":
            self._allocations.append(statement.buffer)
        elif kind == "DeclBuffer":
            self._roots[statement.buffer] = self._root(viewed_by(statement))
        elif kind == "BufferStore":
            self._written.add(self._root(statement.buffer))

    def _root(self, buffer: Any) -> Any:
        return self._roots.get(buffer, buffer)

    def _assign_arena(self) -> int:
        """Keep the smallest allocations on the stack, put the others into the workspace."""
        sizes = [
            (element_count(buffer) * dtype_bytes(checked_dtype(buffer)), position)
            for position, buffer in enumerate(self._allocations)
        ]
        stack_bytes = 0
        in_arena = []
        for size_bytes, position in sorted(sizes):
            if stack_bytes + size_bytes <= STACK_LIMIT_BYTES:
                stack_bytes += size_bytes
            else:
                in_arena.append(position)
        offset = 0
        for position in sorted(in_arena):
            self._arena[self._allocations[position]] = offset
            offset += align_up(sizes[position][0])
        return offset

    def _parameter(self, variable: Any) -> KernelParameter:
        name = self._declare(variable, variable.name, "argument")
        dtype = checked_dtype(variable)
        is_pointer = is_buffer(variable)
        if is_pointer and kind_of(variable.ty.elem_offset) == "Var":
            # Where the data begins in the caller's memory: the pointer says so already.
            self._variables[variable.ty.elem_offset] = "0"
        return KernelParameter(name, dtype, is_pointer, is_pointer and variable in self._written)

    # Lines and names.

    def _declare(self, variable: Any, name: str, fallback: str = "value") -> str:
        unique = self._names.unique(name, fallback)
        self._variables[variable] = unique
        return unique

    def _use(self, name: str) -> str:
        self._uses[name] += 1
        return name

    def _name_of(self, variable: Any) -> str:
        name = self._variables.get(variable)
        if name is None:
            raise UnsupportedKernel(f"the variable {variable.name}, which nothing defines")
        return self._use(name)

    def _emit(self, text: str, defines: str | None = None, fills: str | None = None) -> None:
        self._lines.append(_Line("  " * self._depth + text, self._uses, defines, fills))
        self._uses = Counter()

    @contextmanager
    def _block(self) -> Iterator[None]:
        outer = dict(self._variables)
        self._depth += 1
        yield
        self._depth -= 1
        self._variables = outer
        self._emit("}")

    def _drop_unused(self) -> Counter[str]:
        """Remove what makes values that nothing reads; return how often each name is used."""
        while unread := self._buffers - self._read():
            self._lines = [line for line in self._lines if line.fills not in unread]
            self._buffers -= unread
        uses: Counter[str] = Counter()
        kept = []
        for line in reversed(self._lines):
            if line.defines is not None and not uses[line.defines]:
                continue
            uses.update(line.uses)
            kept.append(line)
        self._lines = kept[::-1]
        return uses

    def _read(self) -> set[str]:
        """Names that lines use otherwise than by storing to them."""
        reads: Counter[str] = Counter()
        for line in self._lines:
            reads.update(line.uses)
            reads.subtract([line.fills] if line.fills is not None else [])
        return {name for name, count in reads.items() if count > 0}

    # Statements.

    def _statement(self, statement: Any) -> None:
        method = getattr(self, f"_print_{kind_of(statement).lower()}", None)
        if method is None:
            raise UnsupportedKernel(f"a {kind_of(statement)} statement")
        method(statement)

    def _print_seqstmt(self, statement: Any) -> None:
        for child in statement.seq:
            self._statement(child)

    def _print_attrstmt(self, statement: Any) -> None:
        self._statement(statement.body)

    def _print_assertstmt(self, statement: Any) -> None:
        """Asserts guard shapes that are all static by now."""

    def _print_bind(self, statement: Any) -> None:
        dtype = checked_dtype(statement.var)
        value = self._top(statement.value)
        name = self._declare(statement.var, statement.var.name)
        self._emit(f"const {_value_type(dtype)} {name} = {value};", defines=name)

    def _print_for(self, statement: Any) -> None:
        dtype = checked_dtype(statement.loop_var)
        start = self._top(statement.min)
        end = self._top(statement.min + statement.extent)
        step = "1" if statement.step is None else self._top(statement.step)
        name = self._declare(statement.loop_var, statement.loop_var.name, "i")
        advance = f"++{name}" if step == "1" else f"{name} += {step}"
        self._emit(f"for ({C_TYPES[dtype]} {name} = {start}; {name} < {end}; {advance}) {{")
        with self._block():
            self._statement(statement.body)

    def _print_while(self, statement: Any) -> None:
        self._emit(f"while ({self._top(statement.condition)}) {{")
        with self._block():
            self._statement(statement.body)

    def _print_ifthenelse(self, statement: Any) -> None:
        self._emit(f"if ({self._top(statement.condition)}) {{")
        with self._block():
            self._statement(statement.then_case)
        if statement.else_case is not None:
            self._lines.pop()
            self._emit("} else {")
            with self._block():
                self._statement(statement.else_case)

    def _print_bufferstore(self, statement: Any) -> None:
        dtype = checked_dtype(statement.buffer)
        value = self._top(statement.value)
        if dtype == "bool":
            value = f"(uint8_t)({value})"
        name = self._variables.get(statement.buffer)
        place = self._element(statement.buffer, statement.indices)
        self._emit(f"{place} = {value};", fills=name if name in self._buffers else None)

    def _print_allocbuffer(self, statement: Any) -> None:
        buffer = statement.buffer
        c_type = C_TYPES[checked_dtype(buffer)]
        name = self._declare(buffer, buffer.name, "buffer")
        self._buffers.add(name)
        if buffer in self._arena:
            workspace = self._use("workspace")
            offset = self._arena[buffer]
            self._emit(
                f"{c_type} *const {name} = ({c_type} *)(void *)({workspace} + {offset});",
                defines=name,
            )
        else:
            self._emit(f"{c_type} {name}[{element_count(buffer)}] = {{0}};", defines=name)

    def _print_declbuffer(self, statement: Any) -> None:
        source = viewed_by(statement)
        dtype = checked_dtype(statement.buffer)
        if checked_dtype(source) == dtype:
            self._variables[statement.buffer] = self._variables[source]
            return
        root = self._root(source)
        const = "const " if root in self._function.params and root not in self._written else ""
        value = self._name_of(source)
        name = self._declare(statement.buffer, statement.buffer.name, "buffer")
        c_type = f"{const}{C_TYPES[dtype]} *"
        self._emit(f"{c_type}const {name} = ({c_type})({const}void *){value};", defines=name)

    def _print_evaluate(self, statement: Any) -> None:
        value = statement.value
        if kind_of(value) == "IntImm":
            return
        if kind_of(value) == "Call":
            text = _LOOP_CALLS.get(_call_name(value))
            if text is not None:
                self._emit(text)
                return
            raise UnsupportedKernel(f"a call of {_describe_call(value)}")
        self._emit(f"(void)({self._top(value)});")

    def _print_break(self, statement: Any) -> None:
        self._emit("break;")

    def _print_continue(self, statement: Any) -> None:
        self._emit("continue;")

    # Expressions. `_expression` returns text that binds tighter than any operator; `_top` returns
    # text for places that need no parentheses.

    def _expression(self, expression: Any) -> str:
        text, is_primary = self._render(expression)
        return text if is_primary else f"({text})"

    def _top(self, expression: Any) -> str:
        return self._render(expression)[0]

    def _render(self, expression: Any) -> tuple[str, bool]:
        """C text, and whether it is a primary expression."""
        kind = kind_of(expression)
        if kind in _BINARY:
            return self._binary(kind, expression)
        if kind == "Var":
            return self._name_of(expression), True
        if kind in ("IntImm", "FloatImm"):
            return literal(expression.value, checked_dtype(expression)), True
        if kind == "TensorLoad":
            text = self._element(expression.source, expression.indices)
            return (f"{text} != 0", False) if dtype_of(expression) == "bool" else (text, True)
        if kind == "Cast":
            return self._cast(expression)
        if kind in ("Min", "Max"):
            helper = f"kernel_{kind.lower()}_{checked_dtype(expression)}"
            return self._helper(helper, expression.a, expression.b), True
        if kind == "Select":
            return self._conditional(
                expression.condition, expression.true_value, expression.false_value
            )
        if kind == "Not":
            return f"!{self._expression(expression.a)}", False
        if kind == "BitwiseNot":
            return self._bitwise_not(expression.a)
        if kind == "Let":
            # A variable may not be evaluated before the condition that guards it, so its value
            # takes its place.
            self._variables[expression.var] = self._expression(expression.value)
            return self._render(expression.body)
        if kind == "Call":
            return self._call(expression)
        raise UnsupportedKernel(f"a {kind} expression of type {dtype_of(expression)}")

    def _binary(self, kind: str, expression: Any) -> tuple[str, bool]:
        operands = self._expression(expression.a), self._expression(expression.b)
        dtype = checked_dtype(expression)
        if kind == "Mod" and dtype.startswith("float"):
            suffix = "f" if dtype == "float32" else ""
            return f"fmod{suffix}({operands[0]}, {operands[1]})", True
        if kind in ("Div", "Mod") and "int" in dtype and kind_of(expression.b) != "IntImm":
            return self._helper(f"kernel_{kind.lower()}_{dtype}", expression.a, expression.b), True
        text = f"{operands[0]} {_BINARY[kind]} {operands[1]}"
        return self._narrowed(text, dtype, kind in _COMPARISONS)

    def _narrowed(self, text: str, dtype: str, is_comparison: bool = False) -> tuple[str, bool]:
        """`text` cut back to `dtype`, because C computes narrow integers as int."""
        if dtype in _NARROW and not is_comparison:
            return f"({C_TYPES[dtype]})({text})", False
        return text, False

    def _bitwise_not(self, operand: Any) -> tuple[str, bool]:
        dtype = checked_dtype(operand)
        if dtype == "bool":
            return f"!{self._expression(operand)}", False
        return self._narrowed(f"~{self._expression(operand)}", dtype)

    def _cast(self, expression: Any) -> tuple[str, bool]:
        source, target = checked_dtype(expression.value), checked_dtype(expression)
        if source == target:
            return self._render(expression.value)
        value = self._expression(expression.value)
        if target == "bool":
            return f"{value} != 0", False
        return f"({C_TYPES[target]}){value}", False

    def _conditional(self, condition: Any, true_value: Any, false_value: Any) -> tuple[str, bool]:
        parts = [self._expression(part) for part in (condition, true_value, false_value)]
        return f"{parts[0]} ? {parts[1]} : {parts[2]}", False

    def _helper(self, helper: str, *operands: Any) -> str:
        self._helpers.add(helper)
        return f"{helper}({', '.join(self._top(operand) for operand in operands)})"

    def _element(self, buffer: Any, indices: Any) -> str:
        if len(indices) != 1:
            raise UnsupportedKernel("a buffer that is not flat")
        return f"{self._name_of(buffer)}[{self._top(indices[0])}]"

    def _call(self, expression: Any) -> tuple[str, bool]:
        name = _call_name(expression)
        arguments = list(expression.args)
        if name in _BINARY_CALLS:
            dtype = checked_dtype(expression)
            operands = self._expression(arguments[0]), self._expression(arguments[1])
            if kind_of(arguments[0]) == "IntImm" and name == "shift_left":
                # An int may have 16 bits.
                operands = f"({C_TYPES[dtype]}){operands[0]}", operands[1]
            text = f"{operands[0]} {_BINARY_CALLS[name]} {operands[1]}"
            return self._narrowed(text, dtype)
        if name == "bitwise_not":
            return self._bitwise_not(arguments[0])
        if name == "if_then_else":
            return self._conditional(*arguments)
        if name in _PASS_THROUGH_CALLS:
            return self._render(arguments[0])
        if name == "large_uint_imm":
            low, high = (int(argument.value) for argument in arguments)
            return literal((high << 32) | low, checked_dtype(expression)), True
        if name == "isnan":
            return self._helper(f"kernel_isnan_{checked_dtype(arguments[0])}", arguments[0]), True
        if name in ("call_pure_extern", "call_extern"):
            name = str(arguments.pop(0).value)
        # TVM is not strict about suffixes; the type of the result is what counts.
        base = name if name in MATH_NAMES else name.removesuffix("f")
        if base in MATH_NAMES and dtype_of(expression) in ("float32", "float64"):
            function = f"{base}f" if dtype_of(expression) == "float32" else base
            return f"{function}({', '.join(self._top(argument) for argument in arguments)})", True
        raise UnsupportedKernel(f"a call of {_describe_call(expression)}")


def _value_type(dtype: str) -> str:
    """The C type of a scalar variable."""
    return "bool" if dtype == "bool" else C_TYPES[dtype]


def _call_name(call: Any) -> str:
    """The name of what a call calls, without the dialect."""
    return str(getattr(call.op, "name", getattr(call.op, "name_hint", ""))).rpartition(".")[2]


def _describe_call(call: Any) -> str:
    """What a call calls, for a message."""
    if call.args and kind_of(call.args[0]) == "StringImm":
        return str(call.args[0].value)
    return _call_name(call) or "an unknown function"
