#!/usr/bin/env bash
# What tests build exported models with: CMake, and Arduino's builder with the core of a board.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v cmake' cmake
needs 'command -v arduino-builder' arduino-builder
needs '[ -e /usr/share/arduino/hardware/arduino/avr/boards.txt ]' arduino-core-avr
install_missing
