"""Exports for the build systems of Zephyr and ESP-IDF."""

from __future__ import annotations

from pytest_microtvm.exports.contents import FLAGS, Contents, Files
from pytest_microtvm.exports.examples import POSIX, Port, example
from pytest_microtvm.exports.readme import readme
from pytest_microtvm.project.server.standalone import PRINTF

_ZEPHYR_PORT = Port(
    includes=(
        "#include <zephyr/device.h>",
        "#include <zephyr/drivers/uart.h>",
        "#include <zephyr/kernel.h>",
        "",
        "static const struct device *const uart = DEVICE_DT_GET(DT_CHOSEN(zephyr_console));",
    ),
    start=(),
    read=(
        "size_t count = 0;",
        "while (count == 0) {",
        "  while (count < sizeof(received) && uart_poll_in(uart, &received[count]) == 0) {",
        "    ++count;",
        "  }",
        "}",
    ),
    write="""\
for (size_t i = 0; i < size_bytes; ++i) {
    uart_poll_out(uart, data[i]);
  }""",
    microseconds="(uint64_t)k_ticks_to_us_floor64((uint64_t)k_uptime_ticks())",
)
_ESP_MAIN = PRINTF._replace(
    signature="void app_main(void)",
    failed=('printf("the model failed: %ld\\n", (long)status);', "return;"),
    end=('printf("done\\n");',),
)
_ESP_PORT = POSIX._replace(
    includes=("#include <unistd.h>", "", '#include "driver/uart.h"', '#include "esp_timer.h"'),
    start=("(void)uart_driver_install(UART_NUM_0, 4096, 0, 0, NULL, 0);",),
    read=(
        "const int count = uart_read_bytes(UART_NUM_0, received, sizeof(received), 1);",
        "if (count <= 0) {",
        "  continue;",
        "}",
    ),
    write="(void)uart_write_bytes(UART_NUM_0, data, size_bytes);",
    microseconds="(uint64_t)esp_timer_get_time()",
    signature="void app_main(void)",
)


def zephyr_module(contents: Contents) -> Files:
    """A module of Zephyr with a sample."""
    name = contents.name
    symbol = name.upper()
    sources = "\n".join(f"    ../{path}" for path in contents.compiled())
    files: dict[str, str] = {
        "zephyr/module.yml": f"name: {name}\nbuild:\n  cmake: zephyr\n  kconfig: zephyr/Kconfig\n",
        "zephyr/Kconfig": f"""\
# SPDX-License-Identifier: Apache-2.0
config {symbol}
    bool "The model {contents.library.name}"
    help
      {contents.description}.
""",
        "zephyr/CMakeLists.txt": f"""\
# SPDX-License-Identifier: Apache-2.0
if(CONFIG_{symbol})
  zephyr_include_directories(../include)
  zephyr_library_named({name})
  zephyr_library_sources(
{sources})
  zephyr_library_compile_options({" ".join(FLAGS)})
endif()
""",
        "samples/run/CMakeLists.txt": """\
# SPDX-License-Identifier: Apache-2.0
cmake_minimum_required(VERSION 3.20)
list(APPEND ZEPHYR_EXTRA_MODULES ${CMAKE_CURRENT_SOURCE_DIR}/../..)
find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})
project(run LANGUAGES C)
target_sources(app PRIVATE src/main.c)
""",
        "samples/run/prj.conf": f"CONFIG_{symbol}=y\nCONFIG_MAIN_STACK_SIZE=8192\n"
        "CONFIG_CBPRINTF_FP_SUPPORT=y\n",
        "samples/run/sample.yaml": f"""\
sample:
  name: {name}
tests:
  sample.{name}:
    integration_platforms:
      - qemu_cortex_m3
    harness: console
    harness_config:
      type: one_line
      regex:
        - done
""",
    }
    main = example(contents, PRINTF, _ZEPHYR_PORT)
    use = f"""\
Name the folder to your application's build, and switch it on in `prj.conf`:

```
west build -b BOARD YOUR_APPLICATION -- -DZEPHYR_EXTRA_MODULES=$PWD
```

```
CONFIG_{symbol}=y
```

`samples/run` is an application: `west build -b qemu_cortex_m3 samples/run`.
"""
    proof = (
        "Tests of pytest-microtvm hold this form to the keys of a Zephyr module, and to no more."
    )
    return {
        **contents.code(),
        **{path: text.encode() for path, text in files.items()},
        **{f"samples/run/src/{path}": content for path, content in main.items()},
        "README.md": readme(contents, use, proof),
    }


def esp_idf_component(contents: Contents) -> Files:
    """A component of ESP-IDF with an example."""
    name = contents.name
    sources = "\n".join(f'    "{path}"' for path in contents.compiled())
    files: dict[str, str] = {
        "CMakeLists.txt": f"""\
# SPDX-License-Identifier: Apache-2.0
idf_component_register(
  SRCS
{sources}
  INCLUDE_DIRS "include")
target_compile_options(${{COMPONENT_LIB}} PRIVATE {" ".join(FLAGS)})
""",
        "idf_component.yml": f"""\
version: "{contents.version}"
description: "{_yaml(contents.description)}"
license: "Apache-2.0"
dependencies:
  idf: ">=4.4"
""",
        "examples/run/CMakeLists.txt": """\
# SPDX-License-Identifier: Apache-2.0
cmake_minimum_required(VERSION 3.16)
include($ENV{IDF_PATH}/tools/cmake/project.cmake)
project(run)
""",
        "examples/run/main/CMakeLists.txt": """\
# SPDX-License-Identifier: Apache-2.0
idf_component_register(SRCS "main.c" INCLUDE_DIRS ".")
""",
        "examples/run/main/idf_component.yml": f"""\
dependencies:
  {name}:
    version: "*"
    override_path: "../../.."
""",
    }
    main = example(contents, _ESP_MAIN, _ESP_PORT)
    use = f"""\
Copy the folder to `components/{name}` of your project; a component that uses it names it in
`REQUIRES`, and includes `{name}.h`. `examples/run` is a project:
`idf.py -C examples/run build flash monitor`.
"""
    proof = "Tests of pytest-microtvm hold this form to the keys of a component, and to no more."
    return {
        **contents.code(),
        **{path: text.encode() for path, text in files.items()},
        **{f"examples/run/main/{path}": content for path, content in main.items()},
        "README.md": readme(contents, use, proof),
    }


def _yaml(text: str) -> str:
    """Text between quotation marks."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
