#!/usr/bin/env bash
# The host's own C and C++ compiler: builds firmware for the board `host` and the tests of the C runtime.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v gcc' gcc
needs 'command -v g++' g++
needs 'echo "#include <stdio.h>" | gcc -E -' libc6-dev
needs 'command -v make' make
install_missing
