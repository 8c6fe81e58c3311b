#!/usr/bin/env bash
# What labgrid's exporter shares serial ports with; labgrid itself is the Python extra of that name.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v ser2net || [ -x /usr/sbin/ser2net ]' ser2net
install_missing
