"""An archive as a project of another ecosystem: `export_model`.

contents.py   what every export is made of, read from an archive
examples.py   main programs
readme.py     README.md and model.json
stack.py      how much stack the kernels take, by a board's compiler
formats/      one module for each ecosystem: from contents to files
stm32/        the code generator in the style of X-CUBE-AI
"""

from pytest_microtvm.exports.writing import RUNTIMES, export_model

__all__ = ["RUNTIMES", "export_model"]
