#!/usr/bin/env bash
# The host's own C and C++ compiler: builds firmware for the board `host` and the tests of the C runtime.
# ccache: compiles what firmware of several models has in common once.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v gcc' gcc
needs 'command -v g++' g++
needs 'echo "#include <stdio.h>" | gcc -E -' libc6-dev
needs 'command -v make' make
needs 'command -v ccache' ccache
install_missing
