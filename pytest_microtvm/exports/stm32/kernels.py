"""The kernels of an archive, with weights that are found from one pointer."""

from __future__ import annotations

import re

from pytest_microtvm.errors import ModelError
from pytest_microtvm.exports.contents import Contents, Files
from pytest_microtvm.exports.stm32.model import Constant
from pytest_microtvm.mlf.archive import FOREIGN_CURE

_MODEL_HEADER = "microtvm/model.h"


def kernel_files(
    contents: Contents, runtime: Contents, name: str
) -> tuple[Files, tuple[Constant, ...]]:
    """Take the constants out of a model's sources, and name the model anew.

    Args:
        contents: The model, without the runtime.
        runtime: The same with an executor.
        name: What it is called.

    Returns:
        The files by name, and the constants by number.

    Raises:
        ModelError: The sources are not of the form that the compiler writes.
    """
    old = contents.name
    constant = rf"const (?:TVMGEN_FLASH )?(\w+) {old}_data_(\d+)\[(\d+)\]"
    declared = re.compile(rf"^extern {constant};\n", re.MULTILINE)
    defined = re.compile(
        rf"^(?:TVMGEN_ALIGNED )?{constant} = {{\n(.*?)\n}};\n", re.MULTILINE | re.DOTALL
    )
    internal = f"{old}_internal.h"
    texts = {
        path: content.decode() for path, content in {**contents.headers, **contents.sources}.items()
    }
    expected = {int(each[2]): each.group(1, 3) for each in declared.finditer(texts[internal])}
    found: dict[int, Constant] = {}
    for path in contents.sources:
        for each in defined.finditer(texts[path]):
            found[int(each[2])] = Constant(each[1], int(each[3]), each[4])
        texts[path] = defined.sub("", texts[path])
    if {k: (v.c_type, str(v.count)) for k, v in found.items()} != expected:
        raise ModelError(
            f"the sources of {contents.library.name} do not define the constants that they declare",
            cure=FOREIGN_CURE,
        )
    texts[internal] = _with_pointer(declared, texts[internal], old, name)
    plan = f"{contents.library.name}_lib1.c"
    if f"int32_t {old}_execute(" not in texts[plan]:
        # With several pools or a device, what runs the model in one arena is the executors'.
        texts |= _in_one_arena(runtime)
    texts[plan] = _with_nodes(texts[plan], old)
    renamed = {
        _renamed(path, contents, name): _rename(text, contents, name).encode()
        for path, text in texts.items()
    }
    return renamed, tuple(found[number] for number in sorted(found))


def _in_one_arena(runtime: Contents) -> dict[str, str]:
    """The source that runs a model in one arena, and the header that it needs."""
    model = f"{runtime.library.name}_model.c"
    header = _MODEL_HEADER.replace("/", "_")
    text = runtime.sources[model].decode().replace(f"<{_MODEL_HEADER}>", f'"{header}"')
    return {
        f"{runtime.library.name}_lib2.c": text,
        header: runtime.headers[_MODEL_HEADER].decode(),
    }


def _with_pointer(declared: re.Pattern[str], text: str, old: str, name: str) -> str:
    """The internal header with macros in place of constants."""
    macros = [
        f"#define {old}_data_{each[2]} (ai_{name}_weights()->data_{each[2]})\n"
        for each in declared.finditer(text)
    ]
    include = f'#include "{name}_data.h"\n\n' if macros else ""
    lines = "".join(macros)
    first = declared.search(text)
    if first is None:
        return text
    text = f"{text[: first.start()]}/* Where the application has the weights. */\n{lines}" + (
        declared.sub("", text[first.start() :])
    )
    return text.replace("#ifdef __cplusplus\n", f"{include}#ifdef __cplusplus\n", 1)


def _with_nodes(text: str, old: str) -> str:
    """The call plan, which tells each node under `_VERBOSE_`."""
    calls = re.compile(rf"^  ({old}_\w+)\(", re.MULTILINE)
    start = text.index(f"int32_t {old}_execute")
    end = text.index("\n}\n", start)
    body = calls.sub(r'  AI_NODE("\1");\n  \1(', text[start:end])
    macro = (
        "#if defined(_VERBOSE_)\n#include <stdio.h>\n"
        '#define AI_NODE(name) (void)printf("%s\\n", name)\n'
        "#else\n#define AI_NODE(name)\n#endif\n\n"
    )
    return f"{text[:start]}{macro}{body}{text[end:]}"


def _renamed(path: str, contents: Contents, name: str) -> str:
    """A file's name: sources are NAME_lib0.c and so on, headers of kernels keep theirs."""
    old = contents.library.name
    if path.startswith(f"{old}_"):
        return f"{name}_{path.removeprefix(f'{old}_')}"
    return path.replace(f"{contents.name}.", f"tvmgen_{name}.").replace(
        f"{contents.name}_", f"tvmgen_{name}_"
    )


def _rename(text: str, contents: Contents, name: str) -> str:
    """The functions, structs and macros of the model, by its name here."""
    old, upper = re.escape(contents.name), re.escape(contents.interface.macro_prefix)
    text = re.sub(rf"\b{old}(?=[_.])", f"tvmgen_{name}", text)
    return re.sub(rf"\b{upper}(?=_)", f"TVMGEN_{name.upper()}", text)
