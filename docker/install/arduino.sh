#!/usr/bin/env bash
# What builds sketches for Arduino boards with an AVR, and stands for such a board: Arduino's builder with its AVR
# core and compilers, and simavr's library, which a program over it is compiled against.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

needs 'command -v arduino-builder' arduino-builder
needs '[ -e /usr/share/arduino/hardware/arduino/avr/boards.txt ]' arduino-core-avr
needs 'command -v avr-gcc' gcc-avr avr-libc
needs 'command -v gcc' gcc libc6-dev
needs 'command -v simavr' simavr
needs '[ -e /usr/include/simavr/sim_avr.h ]' libsimavr-dev
needs '[ -e /usr/include/libelf.h ]' libelf-dev
install_missing
