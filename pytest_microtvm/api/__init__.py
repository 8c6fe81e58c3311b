"""The public API, which `import pytest_microtvm as microtvm` offers: see docs/api.md.

environment    where things are and how patient to be: boards, cache, lab, time limits
models         a model compiled to an archive
projects       a firmware project in a folder of the user's: created, built, flashed, opened
project_file   what such a project remembers, `.microtvm.json`
device         an open device that runs a project's firmware
checking       a model held to its reference, without pytest
evaluation     a model scored on a data set, without pytest

The package's `__init__` names what is public, and loads it when it is asked for.
"""
