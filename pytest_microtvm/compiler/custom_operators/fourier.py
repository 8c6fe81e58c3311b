"""The real Fourier transform of TensorFlow Lite Micro's audio front end, and its inverse.

A transform of half as many complex numbers, in stages that combine 4 parts each (the innermost 2,
where that leaves something), and one step that parts even from odd samples. Integers are divided
before they are added up, and rounded where KISS FFT rounds them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.custom import CustomCall
from pytest_microtvm.compiler.emit.literals import literal
from pytest_microtvm.compiler.quantized.kernels.text import body

_MOST = 1 << 14


@dataclass(frozen=True)
class Lengths:
    """What a transform is of.

    Args:
        rows: How many there are.
        frame: Samples that are given.
        transform: Samples that are transformed, a power of 2; those that are missing are 0.
        dtype: int16, int32 or float32.
    """

    rows: int
    frame: int
    transform: int
    dtype: str

    @property
    def element_bytes(self) -> int:
        """Of a sample."""
        return np.dtype(self.dtype).itemsize


def lengths_of(call: CustomCall) -> Lengths:
    """What a use of the operator transforms.

    Raises:
        ValueError: It cannot be.
    """
    lengths = _lengths(call)
    if not 1 <= lengths.frame <= lengths.transform:
        raise ValueError(f"its length {lengths.transform} is no power of 2 that its frame fits")
    return lengths


def spectrum_lengths_of(call: CustomCall) -> Lengths:
    """What a use of the inverse operator transforms: the frame is the spectrum.

    Raises:
        ValueError: It cannot be.
    """
    lengths = _lengths(call)
    if lengths.frame != lengths.transform + 2:
        raise ValueError(
            f"its spectrum has {lengths.frame} numbers, not {lengths.transform + 2} for its length "
            f"{lengths.transform}"
        )
    return lengths


def _lengths(call: CustomCall) -> Lengths:
    [data] = call.inputs
    length = call.options.get("fft_length")
    if data is None or not data.shape or data.dtype not in _NUMBERS:
        raise ValueError("its input is no vector of int16, int32 or float32")
    if not isinstance(length, int) or not 4 <= length <= _MOST or length & (length - 1):
        raise ValueError(f"its length {length!r} is no power of 2 that its frame fits")
    return Lengths(math.prod(data.shape[:-1]), data.shape[-1], length, data.dtype)


@dataclass(frozen=True)
class _Numbers:
    """How numbers are computed with.

    Args:
        c_type: Of them.
        product: Of sums of products.
        bits: After the point; 0 for floats.
    """

    c_type: str
    product: str
    bits: int

    def scaled(self, text: str, parts: int) -> str:
        """A part of a number, so that the sum of so many fits."""
        if not self.bits:
            return text
        factor = ((1 << self.bits) - 1) // parts
        return self.rounded(f"({self.product}){text} * {factor}")

    def rounded(self, text: str) -> str:
        """A sum of products as a number."""
        if not self.bits:
            return text
        half = 1 << (self.bits - 1)
        return f"({self.c_type})((({text}) + {half}) >> {self.bits})"

    def halved(self, text: str) -> str:
        """Half of a sum of two numbers, which is cut to their width before."""
        if not self.bits:
            return f"({text}) * 0.5f"
        return f"({self.c_type})(({self.c_type})({text}) >> 1)"

    def cut(self, text: str) -> str:
        """A sum as a number."""
        return f"({self.c_type})({text})" if self.bits else text

    def product_with(self, real: str, imaginary: str, factor: str) -> tuple[str, str]:
        """A complex number times one of a table."""
        cosine, sine = f"{factor}[0]", f"{factor}[1]"
        wide = f"({self.product})"
        return (
            self.rounded(f"{wide}{real} * {cosine} - {wide}{imaginary} * {sine}"),
            self.rounded(f"{wide}{real} * {sine} + {wide}{imaginary} * {cosine}"),
        )

    def table(self, name: str, angles: npt.NDArray[np.float64]) -> str:
        """Cosines and sines, in turn."""
        turned = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1)
        if self.bits:
            scaled = np.floor(0.5 + ((1 << self.bits) - 1) * turned).astype(np.int64)
            values = ", ".join(str(int(value)) for value in scaled)
        else:
            values = ", ".join(literal(float(np.float32(value)), "float32") for value in turned)
        return f"static const {self.c_type} {name}[] = {{{values}}};"


_NUMBERS = {
    "int16": _Numbers("int16_t", "int32_t", 15),
    "int32": _Numbers("int32_t", "int64_t", 31),
    "float32": _Numbers("float", "float", 0),
}


def real_transform(call: CustomCall) -> str:
    """The statements of the kernel."""
    lengths = lengths_of(call)
    numbers = _NUMBERS[lengths.dtype]
    size = lengths.transform // 2
    factors = _factors(size)
    order = _order(size, factors)
    sample = [f"at + {i} < {lengths.frame} ? input0[at + {i}] : 0" for i in range(2)]
    return body(f"""
    {numbers.table("turns", -2 * np.pi * np.arange(size) / size)}
    {numbers.table("halves", -np.pi * ((np.arange(size // 2) + 1) / size + 0.5))}
    static const uint16_t order[] = {{{", ".join(map(str, order))}}};
    {numbers.c_type} *const work = ({numbers.c_type} *)(void *)workspace;
    for (int32_t row = 0; row < {lengths.rows}; ++row) {{
      for (int32_t i = 0; i < {size}; ++i) {{
        const int32_t at = 2 * order[i];
        work[2 * i] = {sample[0]};
        work[2 * i + 1] = {sample[1]};
      }}
      {_stages(numbers, factors)}
      {_parted(numbers, size)}
      input0 += {lengths.frame};
      output += {lengths.transform + 2};
    }}
    """)


def inverse_transform(call: CustomCall) -> str:
    """The statements of the inverse's kernel, which works in its output."""
    lengths = spectrum_lengths_of(call)
    numbers = _NUMBERS[lengths.dtype]
    size = lengths.transform // 2
    factors = _factors(size)
    places = np.argsort(_order(size, factors))
    return body(f"""
    {numbers.table("turns", 2 * np.pi * np.arange(size) / size)}
    {numbers.table("halves", np.pi * ((np.arange(size // 2) + 1) / size + 0.5))}
    static const uint16_t places[] = {{{", ".join(map(str, places))}}};
    for (int32_t row = 0; row < {lengths.rows}; ++row) {{
      {numbers.c_type} *const work = output;
      {_joined(numbers, size)}
      {_stages(numbers, factors, is_inverse=True)}
      {_divided(numbers, lengths.transform)}
      input0 += {lengths.frame};
      output += {lengths.transform};
    }}
    """)


def _joined(numbers: _Numbers, size: int) -> str:
    """The spectrum of even samples and odd ones as complex numbers, where the stages read it."""
    sums = [numbers.cut(f"input0[0] {sign} input0[{2 * size}]") for sign in "+-"]
    return f"""
    work[0] = {numbers.scaled(sums[0], 2)};
    work[1] = {numbers.scaled(sums[1], 2)};
    for (int32_t k = 1; k <= {size // 2}; ++k) {{
      {_turned(numbers, "input0", size)}
      work[2 * places[k]] = {numbers.cut("r_sum + r_turned")};
      work[2 * places[k] + 1] = {numbers.cut("i_sum + i_turned")};
      work[2 * places[{size} - k]] = {numbers.cut("r_sum - r_turned")};
      work[2 * places[{size} - k] + 1] = {numbers.cut("i_turned - i_sum")};
    }}
    """


def _turned(numbers: _Numbers, array: str, size: int) -> str:
    """Of number `k` of a spectrum and the one as far from the end: sum, and difference turned."""
    c_type = numbers.c_type
    names = {"ra": f"{array}[2 * k]", "ia": f"{array}[2 * k + 1]"}
    names |= {"rb": f"{array}[2 * ({size} - k)]"}
    # The second one is conjugated before it is divided, which rounds otherwise than after.
    names |= {"ib": numbers.cut(f"-{array}[2 * ({size} - k) + 1]")}
    lines = [f"const {c_type} {name} = {numbers.scaled(t, 2)};" for name, t in names.items()]
    turned = numbers.product_with("r_difference", "i_difference", "turn")
    return f"""
      {" ".join(lines)}
      const {c_type} r_sum = {numbers.cut("ra + rb")};
      const {c_type} i_sum = {numbers.cut("ia + ib")};
      const {c_type} r_difference = {numbers.cut("ra - rb")};
      const {c_type} i_difference = {numbers.cut("ia - ib")};
      const {c_type} *const turn = halves + 2 * (k - 1);
      const {c_type} r_turned = {turned[0]};
      const {c_type} i_turned = {turned[1]};
    """


def _divided(numbers: _Numbers, length: int) -> str:
    """Stages divide integers as they go, floats are divided behind them."""
    if numbers.bits:
        return ""
    return f"""
    for (int32_t i = 0; i < {length}; ++i) {{
      work[i] /= {length}.0f;
    }}
    """


def _factors(size: int) -> list[int]:
    """The radix of each stage, the outermost first."""
    found = []
    while size > 1:
        found.append(4 if size % 4 == 0 else 2)
        size //= found[-1]
    return found


def _order(size: int, factors: list[int]) -> list[int]:
    """Which number the innermost stage reads at each place."""
    found = [list(range(size))]
    for factor in factors:
        found = [part[i::factor] for part in found for i in range(factor)]
    return [place for part in found for place in part]


def _stages(numbers: _Numbers, factors: list[int], is_inverse: bool = False) -> str:
    """All stages, the innermost first; each combines parts of `span` numbers."""
    texts = []
    size = math.prod(factors)
    span = 1
    for factor in reversed(factors):
        step = size // (span * factor)
        texts.append(f"""
        for (int32_t block = 0; block < {size}; block += {span * factor}) {{
          for (int32_t i = 0; i < {span}; ++i) {{
            {numbers.c_type} *const at = work + 2 * (block + i);
            {_butterfly(numbers, factor, span, step, is_inverse)}
          }}
        }}
        """)
        span *= factor
    return "\n".join(texts)


def _butterfly(numbers: _Numbers, factor: int, span: int, step: int, is_inverse: bool) -> str:
    """One number of each part, turned and added up."""
    c_type, lines = numbers.c_type, []
    for part in range(factor):
        for side, name in enumerate("ri"):
            read = f"at[{2 * part * span + side}]"
            lines.append(f"const {c_type} {name}{part} = {numbers.scaled(read, factor)};")
        if part:
            lines.append(f"const {c_type} *const turn{part} = turns + 2 * {part * step} * i;")
            turned = numbers.product_with(f"r{part}", f"i{part}", f"turn{part}")
            lines += [
                f"const {c_type} {n}t{part} = {t};" for n, t in zip("ri", turned, strict=True)
            ]
    if factor == 2:
        results = [[f"{n}0 + {n}t1" for n in "ri"], [f"{n}0 - {n}t1" for n in "ri"]]
    else:
        for n in "ri":
            sums = {
                "even": f"{n}0 + {n}t2",
                "across": f"{n}0 - {n}t2",
                "odd": f"{n}t1 + {n}t3",
                "other": f"{n}t1 - {n}t3",
            }
            lines += [
                f"const {c_type} {n}_{name} = {numbers.cut(text)};" for name, text in sums.items()
            ]
        quarters = [
            ["r_across + i_other", "i_across - r_other"],
            ["r_across - i_other", "i_across + r_other"],
        ]
        if is_inverse:
            quarters.reverse()
        results = [
            [f"{n}_even + {n}_odd" for n in "ri"],
            quarters[0],
            [f"{n}_even - {n}_odd" for n in "ri"],
            quarters[1],
        ]
    for part, pair in enumerate(results):
        for side, text in enumerate(pair):
            lines.append(f"at[{2 * part * span + side}] = {numbers.cut(text)};")
    return "\n".join(lines)


def _parted(numbers: _Numbers, size: int) -> str:
    """The spectrum of all samples from that of even ones and odd ones as complex numbers."""
    c_type = numbers.c_type
    return f"""
    const {c_type} even = {numbers.scaled("work[0]", 2)};
    const {c_type} odd = {numbers.scaled("work[1]", 2)};
    output[0] = {numbers.cut("even + odd")};
    output[{2 * size}] = {numbers.cut("even - odd")};
    output[1] = output[{2 * size + 1}] = 0;
    for (int32_t k = 1; k <= {size // 2}; ++k) {{
      {_turned(numbers, "work", size)}
      output[2 * k] = {numbers.halved("r_sum + r_turned")};
      output[2 * k + 1] = {numbers.halved("i_sum + i_turned")};
      output[2 * ({size} - k)] = {numbers.halved("r_sum - r_turned")};
      output[2 * ({size} - k) + 1] = {numbers.halved("i_turned - i_sum")};
    }}
    """
