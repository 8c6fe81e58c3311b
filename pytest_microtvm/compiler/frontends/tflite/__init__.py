"""TFLite models.

graph        the flatbuffer as plain data: tensors, operators, constants
lists        items of lists that loops fill
shapes       of inputs, where the file leaves extents open
options      the options of an operator; what nobody reads is noticed
registry     by the name of a builtin operator, the function that converts it
states       the variables of a model: what it keeps from run to run
converter    walks the operators, checks what they make, collects what is refused
operators/   a small function for each builtin operator
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_microtvm.compiler.frontends.imported import ImportedModel, imported

InputShapes = Mapping[str, Sequence[int]]


def import_tflite(data: bytes, input_shapes: InputShapes | None = None) -> ImportedModel:
    """Import a TFLite model.

    Args:
        data: The file's content.
        input_shapes: Shapes of inputs by name, in place of those that the file has.

    Raises:
        ModelError: It is damaged, or holds what cannot be compiled.
    """
    from pytest_microtvm.compiler.frontends.tflite.converter import convert
    from pytest_microtvm.compiler.frontends.tflite.graph import read_graphs
    from pytest_microtvm.compiler.frontends.tflite.shapes import input_shapes as shapes_of
    from pytest_microtvm.compiler.frontends.tflite_file import read_tflite

    model = read_tflite(data)
    graphs = read_graphs(model.flatbuffer)
    inputs = [graphs[0].tensors[index] for index in graphs[0].inputs]
    found = convert(graphs, shapes_of(inputs, model.inputs, input_shapes or {}))
    return imported(found.module, model.inputs, model.outputs, found.specs, found.initial_states)
