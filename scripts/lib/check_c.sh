#!/usr/bin/env bash
# Compile the C runtime with the strict flags, for the host and for i386, and its headers as C++.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../pytest_microtvm/runtime"

strict=(-Wall -Wextra -Wpedantic -Werror -Wconversion -Wshadow -Wundef -Wvla)
c_only=(-Wmissing-prototypes -Wstrict-prototypes)

for compiler in "gcc" "i686-linux-gnu-gcc -ffreestanding"; do
  for source in src/*.c; do
    $compiler -std=c11 -O2 "${strict[@]}" "${c_only[@]}" -Iinclude -Isrc -S -o /dev/null "$source"
  done
done
for header in include/microtvm/*.h; do
  echo "#include <microtvm/$(basename "$header")>" |
    g++ -std=c++11 "${strict[@]}" -Iinclude -fsyntax-only -x c++ -
  echo "#include <microtvm/$(basename "$header")>" |
    gcc -std=c99 "${strict[@]}" "${c_only[@]}" -Iinclude -fsyntax-only -x c -
done
