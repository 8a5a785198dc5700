#!/usr/bin/env bash
# Makes .venv with everything `make` needs, or says in one line what this machine lacks.
#
#   deploy/setup.sh             create or refresh .venv (PYTHON=python3.12 chooses another interpreter)
#   deploy/setup.sh --missing   print the Debian packages that are missing, and nothing else
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}

# The file that is looked for, the Debian or Ubuntu package that holds it, and who needs it.
libraries=(
  "libGL.so.1 libgl1 opencv-python"
  "libgthread-2.0.so.0 libglib2.0-0 opencv-python"
  "libxcb.so.1 libxcb1 opencv-python"
  "libEGL.so.1 libegl1 MuJoCo, which renders without a screen"
  "libOpenGL.so.0 libopengl0 MuJoCo"
)

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

check_python() {
  command -v "$python" >/dev/null || fail "no \`$python\` on this machine; install Python 3.11 or newer, or name it: PYTHON=/path/to/python3 make test"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
    "$("$python" -V 2>&1) is too old; robo-dialog needs Python 3.11 or newer: PYTHON=python3.11 make test"
}

# Fills `missing` (packages) and `reasons` (one line a package).
find_missing() {
  missing=() reasons=()
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
    reasons+=("the venv module of $python")
  fi
  [ "$(uname -s)" = Linux ] || return 0 # the wheels for other systems bring these libraries along
  local entry file package user
  for entry in "${libraries[@]}"; do
    read -r file package user <<<"$entry"
    if ! "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$file" 2>/dev/null; then
      missing+=("$package")
      reasons+=("$file (for $user)")
    fi
  done
}

install_packages() {
  # A .venv whose interpreter went away, or whose pip never arrived, is made anew.
  .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
  # One call with the constraints in it: a second `pip install` could move what the first had pinned.
  .venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
}

check_python
find_missing
if [ "${1:-}" = --missing ]; then
  echo "${missing[*]-}"
  exit 0
fi
if [ ${#missing[@]} -gt 0 ]; then
  sudo=$([ "$(id -u)" = 0 ] || echo "sudo ")
  fail "missing: ${reasons[*]/%/;}" "install it with this line, then run the same command again:" \
    "  ${sudo}apt-get update && ${sudo}apt-get install -y ${missing[*]}"
fi
echo "setup: installing into .venv (several minutes the first time)" >&2
install_packages
touch .venv/.setup-stamp # last, so that an interrupted installation is done again
