#!/usr/bin/env bash
# Programs that flash real boards: a gdb for every CPU (the virtual lab is flashed with it, too), and those
# of probes and boot loaders that are in the distribution.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v gdb-multiarch' gdb-multiarch
needs 'command -v openocd' openocd
needs 'command -v st-flash' stlink-tools
needs 'command -v dfu-util' dfu-util
install_missing
