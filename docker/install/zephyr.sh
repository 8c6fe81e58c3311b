#!/usr/bin/env bash
# What builds applications of Zephyr, beside Zephyr itself, its SDK and west (pip install west).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v cmake' cmake
needs 'command -v ninja' ninja-build
needs 'command -v dtc' device-tree-compiler
install_missing
