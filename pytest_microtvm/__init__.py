"""A hardware-in-the-loop test harness for machine-learning models on microcontrollers.

Importing this package does nothing and costs nothing; the pytest plugin is
`pytest_microtvm.face.plugin`, the errors are in `pytest_microtvm.errors`.
"""

__version__ = "0.1.0"
