# Shared by scripts/demo, scripts/test and scripts/bench; sourced, not run. Brings a fresh Debian or Ubuntu to where the
# project runs: system packages, then .venv with the package in it. Nothing is done twice.
#
# PYTHON names the interpreter to make .venv with (default: python3).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=$root/.venv
cd "$root"

# step TITLE: say what comes next.
step() {
  printf '\n== %s\n' "$*"
}

# install_system_packages: only those that are missing; see docker/install/.
install_system_packages() {
  step "system packages"
  [ -n "${PYTHON:-}" ] || docker/install/python.sh
  docker/install/host_toolchain.sh
  docker/install/qemu_x86.sh
}

# install_every_tool: what the boards of all architectures and platforms, flashing, labgrid and exports need besides.
install_every_tool() {
  docker/install/arm.sh
  docker/install/riscv.sh
  docker/install/zephyr.sh
  docker/install/arduino.sh
  docker/install/flash.sh
  docker/install/labgrid.sh
  docker/install/exports.sh
}

# install_package [EXTRA]: .venv with the package, editable, and the dependencies of EXTRA.
#
# A stamp says what .venv was made from: while neither that nor pyproject.toml changes there is nothing
# to do.
install_package() {
  local extra=${1:-} python=${PYTHON:-python3} origin stamp
  step "python packages"
  origin="$root $("$python" -c 'import sys; print(sys.executable, sys.version)')"
  if [ "$(cat "$venv/origin" 2>/dev/null)" != "$origin" ]; then
    "$python" -m venv --clear "$venv"
    echo "$origin" >"$venv/origin"
  fi
  stamp=$(sha256sum <pyproject.toml)
  if [ "$(cat "$venv/installed-$extra" 2>/dev/null)" != "$stamp" ]; then
    echo "installing pytest-microtvm${extra:+[$extra]} into .venv (the first time takes a minute or two)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
      --editable ".${extra:+[$extra]}"
    echo "$stamp" >"$venv/installed-$extra"
  fi
  export PATH="$venv/bin:$PATH"
}
