#!/usr/bin/env bash
# Python 3.10 or later with venv.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'python3 -c "import ensurepip, venv"' python3 python3-venv
install_missing
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  die "$(python3 --version) is too old, 3.10 or later is needed; name a newer one with PYTHON=/path/to/python3"
