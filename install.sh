#!/bin/sh
# Installs fastmix, with what its tests need, into .venv beside this file. As root on a Debian or Ubuntu it first installs
# Python and a C compiler where they are missing; elsewhere it names what is missing. Run it again at any time.
#   PYTHON=/path/to/python3.12 sh install.sh      chooses the Python (3.11, 3.12 or 3.13)
set -eu
cd "$(dirname "$0")"

say() { printf 'fastmix: %s\n' "$*"; }
fail() { printf 'fastmix: %s\n' "$*" >&2; exit 1; }

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
compiler() { echo "${CC:-$("$1" -c 'import sysconfig; print(sysconfig.get_config_var("CC"))')}"; }
has_headers() {
    include=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    echo '#include <Python.h>' | $(compiler "$1") -fsyntax-only -I "$include" -x c - 2>/dev/null
}
version() { "$1" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null; }

# The first Python that is complete; else the first of a supported version.
find_python() {
    first=
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 /usr/bin/python3}; do
        supported "$name" || continue
        first=${first:-$name}
        if has_venv "$name" && has_headers "$name"; then echo "$name"; return; fi
    done
    echo "$first"
}

# What is still missing for this Python, as words of a sentence; nothing if all is there.
missing_for() {
    if [ -z "$1" ]; then echo "Python 3.11, 3.12 or 3.13 (python3)"; return; fi
    has_venv "$1" || printf '%s' "Python's venv module (python3-venv), "
    set -- "$1" $(compiler "$1")
    if ! command -v "$2" >/dev/null; then printf '%s' "a C compiler (gcc, libc6-dev, python3-dev), "
    elif ! has_headers "$1"; then printf '%s' "the headers of C and Python (libc6-dev, python3-dev), "; fi
}

install_packages() {
    say "installing Python and a C compiler with apt-get"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -q && apt-get install -y -q --no-install-recommends \
           python3 python3-venv python3-dev gcc libc6-dev; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install python3 python3-venv python3-dev gcc libc6-dev; its last lines are above."
    fi
    rm -f "$log"
}

[ -z "${PYTHON-}" ] || supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13."
python=$(find_python)
missing=$(missing_for "$python")
if [ -n "$missing" ] && [ -z "${PYTHON-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    install_packages
    python=$(find_python)
    missing=$(missing_for "$python")
fi
[ -z "$missing" ] || fail "missing: ${missing%, }. Install it (names in brackets are Debian's packages) and run this again."

[ "$(version .venv/bin/python)" = "$(version "$python")" ] || "$python" -m venv --clear .venv
say "building and installing into .venv with $("$python" -V) (one to ten minutes)"
# compat: the checkout itself on the import path, so that a program beside it does not take its folder for the package
.venv/bin/python -m pip install -q --disable-pip-version-check --config-settings editable_mode=compat -e '.[test]'
say "installed: .venv/bin/fastmix"
