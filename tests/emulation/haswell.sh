#!/usr/bin/env bash
# Verify bundles on an emulated x86-64 processor with AVX2 but without VNNI, where unsigned × signed products saturate.
#
#   tests/emulation/haswell.sh BUNDLE...          verify each; fails when one fails or the promised invariance is not 0
#   tests/emulation/haswell.sh --python ARGS...   run that Python with any arguments
#
# PYTHON   a Python of this machine that has treadle's base dependencies and onnxruntime
#
# Needs Debian's qemu-user-static, version 7.2 or later (the first that emulates AVX2).
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
host_python=${PYTHON:-python3}

command -v qemu-x86_64-static >/dev/null || {
    echo "haswell.sh: qemu-x86_64-static is missing: apt-get install qemu-user-static" >&2
    exit 3
}

# The emulator wants the program itself, not a link or a wrapper; PYTHONPATH then replaces the virtual environment.
program=$("$host_python" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')
packages=$("$host_python" -c 'import os, click; print(os.path.dirname(os.path.dirname(click.__file__)))')

# Less what the emulator lacks and would warn of.
cpu=Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid

haswell_python() {
    PYTHONPATH=$repository/runtime:$packages PYTHONDONTWRITEBYTECODE=1 \
        qemu-x86_64-static -cpu "$cpu" "$program" "$@"
}

case ${1:-} in
    --python) shift; haswell_python "$@"; exit ;;
    ""|-*) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

for bundle in "$@"; do
    report=$(haswell_python -c "from treadle.cli import main; main()" verify "$bundle" --json) || true
    "$host_python" "$repository/tests/emulation/check_report.py" "haswell: $bundle" <<<"$report"
done
