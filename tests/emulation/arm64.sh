#!/usr/bin/env bash
# Verify bundles on an emulated 64-bit Arm processor: its own CPython, numpy and onnxruntime under qemu's user mode.
#
#   tests/emulation/arm64.sh BUNDLE...          verify each; fails when one fails or the promised invariance is not 0
#   tests/emulation/arm64.sh --prepare          only build the environment (about a minute, then it is kept)
#   tests/emulation/arm64.sh --python ARGS...   run that Python with any arguments
#
# TREADLE_ARM64        where the environment is kept (default build/arm64)
# TREADLE_ARM64_CPUS   processors to pretend to be: cortex-a53 lacks the dot-product instructions, max has all of them
# TREADLE_ARM64_ENGINE the onnxruntime to install there: 1.23.0 to 1.27.0 run under qemu 7.2, later ones
#                      crash in it when they are imported
#
# Needs Debian's qemu-user-static and debootstrap; no container and no chroot.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
home=${TREADLE_ARM64:-$repository/build/arm64}
cpus=${TREADLE_ARM64_CPUS:-"cortex-a53 max"}
engine=${TREADLE_ARM64_ENGINE:-1.27.0}
site=$home/onnxruntime-$engine
host_python=${PYTHON:-python3}

need() {
    command -v "$1" >/dev/null || { echo "arm64.sh: $1 is missing: apt-get install $2" >&2; exit 3; }
}

prepare() {
    [ -e "$home/root/ready" ] || prepare_system
    [ -e "$site/ready" ] || prepare_packages
}

prepare_system() {
    need debootstrap debootstrap
    need dpkg dpkg
    mkdir -p "$home"
    # --foreign only downloads; unpacking the archives is all that a user-mode emulator needs.
    debootstrap --arch=arm64 --foreign --variant=minbase \
        --include=python3,python3-minimal,libstdc++6,libgomp1 bookworm "$home/packages" >&2
    for archive in "$home"/packages/var/cache/apt/archives/*.deb; do
        dpkg -x "$archive" "$home/root"
    done
    rm -rf "$home/packages"
    touch "$home/root/ready"
}

prepare_packages() {
    local platforms=()
    for glibc in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${glibc}_aarch64"); done
    "$host_python" -m pip install --quiet --target "$site" --only-binary=:all: --no-deps \
        --python-version 3.11 --implementation cp "${platforms[@]}" --platform manylinux2014_aarch64 \
        "onnxruntime==$engine" "numpy==2.2.6" "click==8.1.8" "protobuf" "flatbuffers" "packaging" >&2
    touch "$site/ready"
}

arm_python() {
    need qemu-aarch64-static qemu-user-static
    PYTHONHOME=$home/root/usr PYTHONPATH=$repository/runtime:$site PYTHONDONTWRITEBYTECODE=1 \
        qemu-aarch64-static -L "$home/root" "$home/root/usr/bin/python3.11" "$@"
}

case ${1:-} in
    --prepare) prepare; exit ;;
    --python) shift; prepare; arm_python "$@"; exit ;;
    ""|-*) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

prepare
for cpu in $cpus; do
    for bundle in "$@"; do
        report=$(QEMU_CPU=$cpu arm_python -c "from treadle.cli import main; main()" verify "$bundle" --json) || true
        "$host_python" "$repository/tests/emulation/check_report.py" "arm64 $cpu: $bundle" <<<"$report"
    done
done
