#!/usr/bin/env bash
# What tests build exported models with: CMake; Arduino's builder is installed by arduino.sh.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v cmake' cmake
install_missing
