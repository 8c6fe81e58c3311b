"""Python programs of this package as forks of a process that has their modules already.

Most of what a short program takes is to start Python and to import: TVM's modules alone take longer
than to compile a small model. So a run has *fork servers*, one for programs with TVM and one for
all others, each a process without threads that imports what programs need, once, and forks itself
for each. A fork leads a session of its own, and has its own folder, environment, files and limits.

    client     what a run holds: `Forks`, and a `Fork` for each program that runs
    server     the fork server, `python -m pytest_microtvm.forks.server`
    become     how a fork becomes a program
    own        a fork of the process that wants it: of a bridge, which has no threads

A fork server ends with the process that uses it, and its forks with it, whoever is killed. One that
was killed is replaced when the next program is started.
"""

from pytest_microtvm.forks.client import Fork, ForkError, Forks, Program
from pytest_microtvm.forks.own import OwnFork

__all__ = ["Fork", "ForkError", "Forks", "OwnFork", "Program"]
