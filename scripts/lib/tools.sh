#!/usr/bin/env bash
# What only the tests of this project take: a browser that opens reports, and the checker of docs/misra.md.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../docker/install/common.sh"

needs 'command -v chromium || command -v chromium-browser || command -v google-chrome' chromium fonts-dejavu-core
needs 'command -v cppcheck' cppcheck
install_missing
