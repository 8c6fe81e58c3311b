#!/usr/bin/env bash
# Make sure that packages are there in the versions that a file names: NAME VERSION a line, where VERSION may
# end in * to leave Debian's own revisions open, which bring security fixes.
#
# usage: check_packages.sh FILE
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

while read -r name wanted; do
  case $name in '' | '#'*) continue ;; esac
  found=$(dpkg-query --show --showformat='${Version}' "$name" 2>/dev/null) || die "$name is not installed"
  # shellcheck disable=SC2053 # a pattern on purpose
  [[ $found == $wanted ]] || die "$name is $found, not $wanted; test with it and change $1"
done <"$1"
