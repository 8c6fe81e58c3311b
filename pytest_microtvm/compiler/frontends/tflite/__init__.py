"""TFLite models.

graph        the flatbuffer as plain data: tensors, operators, constants
lists        items of lists that loops fill
shapes       of inputs, where the file leaves extents open
options      the options of an operator; what nobody reads is noticed
registry     by the name of a builtin operator, the function that converts it
states       the variables of a model: what it keeps from run to run
custom       custom operators that are registered
converter    walks the operators, checks what they make, collects what is refused
operators/   a small function for each builtin operator
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_microtvm.compiler.custom import CustomOperator
from pytest_microtvm.compiler.frontends.imported import ImportedModel, imported

InputShapes = Mapping[str, Sequence[int]]


def import_tflite(
    data: bytes,
    input_shapes: InputShapes | None = None,
    signature: str | None = None,
    custom_operators: Mapping[str, CustomOperator] | None = None,
) -> ImportedModel:
    """Import a TFLite model.

    Args:
        data: The file's content.
        input_shapes: Shapes of inputs by name, in place of those that the file has.
        signature: The signature to import, of a model with several; None for its first subgraph.
        custom_operators: Those that are known, by name.

    Raises:
        ModelError: It is damaged, holds what cannot be compiled, or has no such signature.
    """
    from pytest_microtvm.compiler.frontends.tflite.converter import convert
    from pytest_microtvm.compiler.frontends.tflite.graph import read_graphs
    from pytest_microtvm.compiler.frontends.tflite.shapes import input_shapes as shapes_of
    from pytest_microtvm.compiler.frontends.tflite_file import read_tflite

    model = read_tflite(data, signature)
    graphs = read_graphs(model.flatbuffer)
    graph = graphs[model.subgraph]
    inputs = [graph.tensors[index] for index in graph.inputs]
    shapes = shapes_of(inputs, model.inputs, input_shapes or {})
    found = convert(graphs, shapes, model.subgraph, custom_operators)
    return imported(found.module, model.inputs, model.outputs, found.specs, found.initial_states)
