"""MLF archives made by hand: what a platform needs of one, and models that ask much of it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FLOAT_MODEL = """\
#include <stdint.h>
#include <microtvm/model.h>

static const int32_t shape[1] = {{{count}}};
static const MicroTVMTensorInfo inputs[1] = {{
    {{"x", {count} * sizeof(float), 1, kMicroTVMTypeFloat, 32, shape}}}};
static const MicroTVMTensorInfo outputs[1] = {{
    {{"y", {count} * sizeof(float), 1, kMicroTVMTypeFloat, 32, shape}}}};

void kernel(const float *x, float *y);

static int32_t Run(void *const *in, void *const *out, uint8_t *workspace) {{
  (void)workspace;
  kernel(in[0], out[0]);
  return 0;
}}

const MicroTVMModel tvmgen_{name}_model = {{"{name}", 1, 1, inputs, outputs, {workspace}, Run,
                                            0, 0}};
"""


@dataclass(frozen=True)
class FloatModel:
    """A model of one float32 vector in and one of the same length out.

    Attributes:
        name: The model's name.
        kernel: C source with `void kernel(const float *x, float *y)`.
        count: Elements of the vectors.
        workspace_bytes: What the metadata says.
        constants_bytes: Likewise.
        kernels: Names of functions that the metadata calls kernels.
    """

    name: str
    kernel: str
    count: int
    workspace_bytes: int = 0
    constants_bytes: int = 0
    kernels: Sequence[str] = ()

    def write(self, path: Path) -> Path:
        """Write the archive."""
        model = FLOAT_MODEL.format(name=self.name, count=self.count, workspace=self.workspace_bytes)
        tensor = {"size": 4 * self.count, "dtype": "float32", "shape": [self.count]}
        operators = [
            {"function_name": name, "workspace": [], "macs": 10 * (index + 1)}
            for index, name in enumerate(self.kernels)
        ]
        main = {
            "device": 1,
            "workspace_size_bytes": self.workspace_bytes,
            "constants_size_bytes": self.constants_bytes,
            "io_size_bytes": 8 * self.count,
            "inputs": {"x": {**tensor, "c_name": "x"}},
            "outputs": {"y": {**tensor, "c_name": "y"}},
        }
        module = {
            "model_name": self.name,
            "executors": ["aot"],
            "memory": {"functions": {"main": [main], "operator_functions": operators}},
        }
        files = {
            "metadata.json": json.dumps({"version": 8, "modules": {self.name: module}}),
            f"codegen/host/include/tvmgen_{self.name}.h": "",
            f"codegen/host/src/{self.name}_lib0.c": self.kernel,
            f"codegen/host/src/{self.name}_model.c": model,
        }
        return write_archive(path, files)


DOUBLE = FloatModel(
    name="double_it",
    kernel="""\
void kernel(const float *x, float *y);
void kernel(const float *x, float *y) {
  for (int i = 0; i < 4; ++i) y[i] = 2.0f * x[i];
}
""",
    count=4,
)


def write_archive(
    path: Path, files: Mapping[str, str], odd_members: Sequence[tarfile.TarInfo] = ()
) -> Path:
    """Write a tar archive of text files and of members without content."""
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            data = text.encode()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in odd_members:
            tar.addfile(member)
    return path
