# Shared by the install scripts of this folder; sourced, not run.
#
# Each script is a list of `needs`, which notes the packages whose purpose is not served yet, and one
# `install_missing`, which installs them. With everything in place a script takes milliseconds and asks
# for no rights. Debian and Ubuntu; root, or a user with sudo.

missing=()

# needs CHECK PACKAGE...: note the packages unless the shell command CHECK succeeds.
needs() {
  local check=$1
  shift
  if ! (eval "$check") >/dev/null 2>&1; then
    missing+=("$@")
  fi
}

# die LINE: the one line that says what is wrong and what to do, and the end.
die() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}

# as_root COMMAND...: with sudo where needed.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing ${missing[*]} needs root and there is no sudo; run this script as root"
  fi
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

# refresh_indexes: one broken index of many (a mirror in the middle of a sync, a foreign source that is
# down) is no reason to give up: what is needed may well be in the others.
refresh_indexes() {
  local attempt
  for attempt in 1 2 3; do
    if apt update; then
      return
    fi
    [ "$attempt" -eq 3 ] || sleep $((attempt * 2))
  done
  echo "$(basename "$0"): some package indexes could not be refreshed, going on with the others" >&2
}

# install_missing: install what `needs` noted.
install_missing() {
  if [ ${#missing[@]} -eq 0 ]; then
    return
  fi
  command -v apt-get >/dev/null ||
    die "this is not Debian or Ubuntu; install what these Debian packages hold: ${missing[*]}"
  echo "installing ${missing[*]}"
  refresh_indexes
  apt install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}; its messages are above"
  missing=()
}
