"""The export in the style of X-CUBE-AI: a model behind `ai_runtime_api.h`."""

from __future__ import annotations

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.exports.contents import FLAGS, NONE, Contents, Files
from pytest_microtvm.exports.formats.plain import EXAMPLE
from pytest_microtvm.exports.readme import readme
from pytest_microtvm.exports.stm32.emitter import CodeEmitter, sanitized
from pytest_microtvm.project.server.standalone import PRINTF, fill_function, fill_loop, print_loop

_FOLDER = "ai"


def stm32(contents: Contents) -> Files:
    """Files of `CodeEmitter` with everything static, and an example."""
    if contents.runtime != NONE:
        raise ConfigError(
            f"the format stm32 has its own runtime, and takes no {contents.runtime} beside it",
            cure="leave out the runtime",
        )
    emitter = CodeEmitter()
    emitter.parse_library_format(contents.library)
    name = sanitized(contents.library.name)
    use = f"""\
Compile every `.c` in `{_FOLDER}/` with `-I{_FOLDER} {" ".join(FLAGS)}`, and link with `-lm`.
The linker collects models in `.nn_models`: put what `{_FOLDER}/ai_models.ld` says into your linker
script, or give it to the linker beside yours with `-Wl,-T,{_FOLDER}/ai_models.ld`. Weights are in
`.nn_weights`, activations in `.{name}.nn_data_act`. `{EXAMPLE}/main.c` runs the model:

```
cc -O2 {" ".join(FLAGS)} -I{_FOLDER} {_FOLDER}/*.c {EXAMPLE}/main.c \\
    -Wl,-T,{_FOLDER}/ai_models.ld -lm -o run
```
"""
    proof = "Tests of pytest-microtvm build this form, run it here, and on two boards in QEMU."
    return {
        **{f"{_FOLDER}/{path}": content for path, content in emitter.files(name).items()},
        f"{EXAMPLE}/main.c": _main(contents, name).encode(),
        "README.md": readme(contents, use, proof),
    }


def _main(contents: Contents, name: str) -> str:
    interface = contents.interface
    fill: list[str] = []
    shown: list[str] = []
    for index, tensor in enumerate(interface.inputs):
        fill += [
            f"  ai_tensor *tensor_{index} = ai_get_input(&{name}_network, {index});",
            f"  {tensor.c_type} *input_{index} = ({tensor.c_type} *)tensor_{index}->dltensor.data;",
            *fill_loop(tensor, f"input_{index}", f"get_tensor_elts(tensor_{index})"),
        ]
    for index, tensor in enumerate(interface.outputs):
        shown += [
            f"  ai_tensor *tensor_{index} = ai_get_output(&{name}_network, {index});",
            f"  const {tensor.c_type} *output_{index} =",
            f"      (const {tensor.c_type} *)tensor_{index}->dltensor.data;",
            *print_loop(tensor, f"output_{index}", f"get_tensor_elts(tensor_{index})", PRINTF),
        ]
    return "\n".join(
        [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            "/* Runs a model once, and prints its outputs: a start of a program of your own. */",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "#include <stdio.h>",
            "",
            f'#include "{name}.h"',
            "",
            *fill_function(fill),
            "",
            "static void PrintOutputs(void) {",
            *shown,
            "}",
            "",
            "int main(void) {",
            "  ai_handle network;",
            f"  ai_status status = ai_create(&{name}_network, NULL, &network);",
            "  if (status == AI_STATUS_OK) {",
            "    FillInputs();",
            "    status = ai_run(network);",
            "  }",
            "  if (status != AI_STATUS_OK) {",
            '    printf("%s\\n", ai_get_error(network));',
            "    return 1;",
            "  }",
            "  PrintOutputs();",
            '  printf("done\\n");',
            "  return 0;",
            "}",
            "",
        ]
    )
