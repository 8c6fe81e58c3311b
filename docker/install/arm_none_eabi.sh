#!/usr/bin/env bash
# A cross compiler for Cortex-M: the tests compile the C runtime for one, and measure it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v arm-none-eabi-gcc' gcc-arm-none-eabi
install_missing
