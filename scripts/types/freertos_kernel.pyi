# The template finds it beside itself; mypy knows it by its whole name.
from pytest_microtvm.platforms.freertos.freertos_kernel import *
