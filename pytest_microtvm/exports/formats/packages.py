"""Exports that package managers take: Arduino libraries, PlatformIO libraries, CMSIS packs."""

from __future__ import annotations

import io
import json
import zipfile
from xml.sax.saxutils import escape, quoteattr

from pytest_microtvm.exports.contents import FLAGS, NONE, Contents, Files
from pytest_microtvm.exports.examples import Port, example
from pytest_microtvm.exports.formats.plain import EXAMPLE
from pytest_microtvm.exports.readme import readme
from pytest_microtvm.project.server import arduino_library as library
from pytest_microtvm.project.server.arduino_library import VENDOR
from pytest_microtvm.project.server.standalone import PRINTF, Printing

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can say

_SKETCH = Printing(
    includes=("#include <Arduino.h>", ""),
    start=("Serial.begin(115200);", "while (!Serial) {", "}"),
    text='Serial.print("{}");',
    integer='Serial.print(" ");\n    Serial.print((long){});',
    real='Serial.print(" ");\n    Serial.print((double){}, 8);',
    end_line="Serial.println();",
    failed=('Serial.println("the model failed");', "return;"),
    end=('Serial.println("done");',),
    signature="void setup(void)",
    after=("", "void loop(void) {}"),
)
# A program in C beside a sketch, which is C++ and knows the serial port.
_PROGRAM = Printing(
    includes=('#include "program.h"', ""),
    text='PrintText("{}");',
    integer='PrintText(" ");\n    PrintInteger((long){});',
    real='PrintText(" ");\n    PrintReal((double){});',
    end_line='PrintText("\\r\\n");',
    failed=('PrintText("the model failed\\r\\n");', "return;"),
    end=('PrintText("done\\r\\n");',),
    signature="void RunProgram(void)",
)
_PROGRAM_PORT = Port(
    includes=('#include "program.h"',),
    start=(),
    read=("const size_t count = ReadBytes(received, sizeof(received));",),
    write="WriteBytes(data, size_bytes);",
    microseconds="Microseconds()",
    signature="void RunProgram(void)",
)
_PROGRAM_HEADER = """\
/* SPDX-License-Identifier: Apache-2.0 */
/* What the sketch and the program of C know of each other. */
#ifndef PROGRAM_H_
#define PROGRAM_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void RunProgram(void);

void PrintText(const char *text);
void PrintInteger(long number);
void PrintReal(double number);
size_t ReadBytes(uint8_t *data, size_t size_bytes);
void WriteBytes(const uint8_t *data, size_t size_bytes);
uint64_t Microseconds(void);

#ifdef __cplusplus
}
#endif
#endif /* PROGRAM_H_ */
"""
_PROGRAM_SKETCH = """\
/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port and the clock of program.c. */
#include <Arduino.h>

#include <{name}.h>

#include "program.h"

void PrintText(const char *text) { Serial.print(text); }

void PrintInteger(long number) { Serial.print(number); }

void PrintReal(double number) { Serial.print(number, 8); }

size_t ReadBytes(uint8_t *data, size_t size_bytes) {
  while (Serial.available() == 0) {
  }
  size_t count = 0;
  while (count < size_bytes && Serial.available() > 0) {
    data[count++] = (uint8_t)Serial.read();
  }
  return count;
}

void WriteBytes(const uint8_t *data, size_t size_bytes) { Serial.write(data, size_bytes); }

/* Made of a clock that goes round every 71 minutes. */
uint64_t Microseconds(void) {
  static uint32_t before;
  static uint64_t total;
  const uint32_t now = (uint32_t)micros();
  total += (uint32_t)(now - before);
  before = now;
  return total;
}

void setup(void) {
  Serial.begin(115200);
  while (!Serial) {
  }
  RunProgram();
}

void loop(void) {}
"""


def arduino_library(contents: Contents) -> Files:
    """A library of the Arduino IDE and its command line tools."""
    name = contents.name
    if contents.runtime == NONE:
        sketch = example(contents, _SKETCH, suffix=".ino")
        files = {"examples/Run/Run.ino": sketch["main.ino"]}
    else:
        program = example(contents, _PROGRAM, _PROGRAM_PORT)
        program["program.c"] = program.pop("main.c")
        program["program.h"] = _PROGRAM_HEADER.encode()
        program["Run.ino"] = _PROGRAM_SKETCH.replace("{name}", name).encode()
        files = {f"examples/Run/{path}": content for path, content in program.items()}
    use = f"""\
Copy the folder to `libraries/` of your sketchbook, or give it to your tool as a library; a sketch
includes `{name}.h`. `examples/Run` is one. On an AVR constants stay in flash; with the RPC
server, give its packets less of the RAM by `MICROTVM_PACKET_BYTES`.
"""
    proof = "Tests of pytest-microtvm build the example of this form with arduino-builder."
    return {
        **library.arduino_library_files(
            name,
            contents.version,
            contents.description,
            f"{name}.h",
            contents.headers,
            contents.sources,
            contents.runtime_sources,
        ),
        **files,
        "README.md": readme(contents, use, proof),
    }


def arduino_zip(contents: Contents) -> Files:
    """A library of Arduino's, as one file."""
    name = contents.name
    file_name = f"{name}-{contents.version}.zip"
    package = {**arduino_library(contents), "LICENSE": contents.license}
    use = f"""\
Give `{file_name}` to Arduino's IDE by "Add .ZIP Library", to `arduino-cli lib install
--zip-path`, or unpack it in `libraries/` of your sketchbook; a sketch includes `{name}.h`.
"""
    proof = "Tests of pytest-microtvm build sketches with this form by arduino-builder."
    return {
        file_name: _zipped({f"{name}/{path}": content for path, content in package.items()}),
        "README.md": readme(contents, use, proof),
    }


def platformio(contents: Contents) -> Files:
    """A library of PlatformIO."""
    name = contents.name
    program = example(contents)
    manifest = {
        "name": name,
        "version": contents.version,
        "description": contents.description,
        "keywords": ["machine learning", "microtvm"],
        "license": "Apache-2.0",
        "frameworks": "*",
        "platforms": "*",
        "headers": f"{name}.h",
        "build": {"flags": [*FLAGS], "libArchive": False},
        "examples": [{"name": "run", "base": EXAMPLE, "files": sorted(program)}],
    }
    use = f"""\
Copy the folder to `lib/{name}` of your project, or name it in `lib_deps`: `{name}=file://PATH`.
A program includes `{name}.h`; `{EXAMPLE}/main.c` is one.
"""
    proof = "Tests of pytest-microtvm hold this form to the keys of a library.json, and to no more."
    return {
        **contents.code(),
        **{f"{EXAMPLE}/{path}": content for path, content in program.items()},
        "library.json": (json.dumps(manifest, indent=2) + "\n").encode(),
        "README.md": readme(contents, use, proof),
    }


def cmsis_pack(contents: Contents) -> Files:
    """An Open-CMSIS pack, as one file."""
    name = contents.name
    program = example(contents, PRINTF)
    package = {
        **contents.code(),
        **{f"{EXAMPLE}/{path}": content for path, content in program.items()},
    }
    use = f"""\
`{VENDOR}.{name}.{contents.version}.pack` is added by `cpackget add`, or by an IDE's pack installer.
The component is `Machine Learning:Model:{contents.library.name}`; `{EXAMPLE}/main.c` is there as a
template. Compile it with `{" ".join(FLAGS)}`.
"""
    proof = "Tests of pytest-microtvm hold this form to the schema's elements, and to no more."
    text = readme(contents, use, proof)
    package |= {
        f"{VENDOR}.{name}.pdsc": _pdsc(contents, sorted(package)).encode(),
        "LICENSE": contents.license,
        "README.md": text,
    }
    return {
        f"{VENDOR}.{name}.{contents.version}.pack": _zipped(package),
        "README.md": text,
    }


def _pdsc(contents: Contents, paths: list[str]) -> str:
    files = []
    for path in paths:
        if path.startswith(EXAMPLE):
            kind = "source" if path.endswith(".c") else "header"
            files.append(
                f'        <file category="{kind}" name={quoteattr(path)} attr="template" '
                'select="Run the model"/>'
            )
        elif path.endswith(".c"):
            files.append(f'        <file category="source" name={quoteattr(path)}/>')
    listed = "\n".join(files)
    date = contents.module.get("export_datetime", "1970-01-01")[:10]
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<package schemaVersion="1.7.7" xmlns:xs="http://www.w3.org/2001/XMLSchema-instance" \
xs:noNamespaceSchemaLocation="PACK.xsd">
  <vendor>{VENDOR}</vendor>
  <name>{contents.name}</name>
  <description>{escape(contents.description)}</description>
  <url></url>
  <license>LICENSE</license>
  <releases>
    <release version="{contents.version}" date="{date}">As exported.</release>
  </releases>
  <components>
    <component Cclass="Machine Learning" Cgroup="Model" Csub={quoteattr(contents.library.name)} \
Cversion="{contents.version}">
      <description>{escape(contents.description)}</description>
      <files>
        <file category="doc" name="README.md"/>
        <file category="include" name="include/"/>
{listed}
      </files>
    </component>
  </components>
</package>
"""


def _zipped(files: Files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[path])
    return stream.getvalue()
