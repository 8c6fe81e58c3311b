#!/usr/bin/env bash
# The board qemu_x86: the emulator, a cross compiler for i386, and a libm to link freestanding.
#
# The libm is musl's. Debian has it built for i386 (musl-dev:i386). Ubuntu does not, but has the source,
# which is then built here with the cross compiler; it takes about a minute.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

include=include/i386-linux-musl
library=lib/i386-linux-musl

needs 'command -v qemu-system-i386' qemu-system-x86
needs 'command -v i686-linux-gnu-gcc' gcc-i686-linux-gnu
needs 'command -v make' make
install_missing

# build_musl: from the source package, into /usr/local, with links where the package would be.
build_musl() {
  local work
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  # The system's own package sources, as sources of source packages; the system's lists stay as they are.
  mkdir -p "$work/parts" "$work/lists/partial" "$work/musl"
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -n 's/^deb\s/deb-src /p' >"$work/sources.list" || true # there may be no such file
  local path
  for path in /etc/apt/sources.list.d/*.sources; do
    [ -e "$path" ] && sed 's/^Types:.*/Types: deb-src/' "$path" >"$work/parts/$(basename "$path")"
  done
  local options=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o "Dir::Etc::SourceParts=$work/parts"
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work" -o "APT::Sandbox::User=$(id -un)")
  apt-get "${options[@]}" update || true # one broken index of many; the next line decides
  (cd "$work" && apt-get "${options[@]}" source --download-only musl) ||
    die "neither the package musl-dev:i386 nor the source of musl is to be had; use Debian or docker/Dockerfile"
  tar -xf "$work"/musl_*.orig.tar.?z -C "$work/musl" --strip-components=1
  (
    cd "$work/musl"
    ./configure --target=i386 CROSS_COMPILE=i686-linux-gnu- --disable-shared --prefix=/usr/local \
      --includedir="/usr/local/$include" --libdir="/usr/local/$library"
    make -j"$(nproc)" lib/libc.a
  ) >"$work/log" 2>&1 || {
    tail -5 "$work/log" >&2
    die "musl did not build; the last lines are above"
  }
  as_root make -s -C "$work/musl" install-headers "/usr/local/$library/libc.a" >/dev/null
  local folder
  for folder in "$include" "$library"; do
    as_root ln -sfn "/usr/local/$folder" "/usr/$folder"
  done
}

# has_package NAME: whether apt knows it.
has_package() {
  apt-cache show "$1" >/dev/null 2>&1
}

if ! [ -e "/usr/$library/libc.a" ]; then
  dpkg --print-foreign-architectures | grep -qx i386 || as_root dpkg --add-architecture i386
  has_package musl-dev:i386 || refresh_indexes
  if has_package musl-dev:i386; then
    needs false musl-dev:i386
    install_missing
  else
    echo "this system has no musl-dev:i386: building musl from its source package"
    build_musl
  fi
fi
