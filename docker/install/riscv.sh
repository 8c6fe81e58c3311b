#!/usr/bin/env bash
# The RISC-V boards: the emulators, a cross compiler, and picolibc.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v qemu-system-riscv32 && command -v qemu-system-riscv64' qemu-system-misc
needs 'command -v riscv64-unknown-elf-gcc' gcc-riscv64-unknown-elf
needs '[ -e /usr/lib/picolibc/riscv64-unknown-elf/lib/libc.a ]' picolibc-riscv64-unknown-elf
needs 'command -v make' make
install_missing
