#!/usr/bin/env bash
# The Arm boards: the emulator, a cross compiler for Cortex-M and Cortex-R, and newlib.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v qemu-system-arm && command -v qemu-system-aarch64' qemu-system-arm
needs 'command -v arm-none-eabi-gcc' gcc-arm-none-eabi
needs '[ -e "$(arm-none-eabi-gcc -print-file-name=libm.a)" ]' libnewlib-arm-none-eabi
needs 'command -v make' make
install_missing
