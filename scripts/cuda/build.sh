#!/usr/bin/env bash
# Builds m3 for NVIDIA GPUs, on a machine that needs neither a GPU nor a CUDA installation.
#
#     scripts/cuda/build.sh [WORK_DIR]          (default: target/cuda)
#
# Needs Rust, gcc and g++, and Python 3 with pip. CUDA's compiler comes from the Python package index (105 MB); the program is
# WORK_DIR/m3. It opens CUDA's libraries at its first call of them, so that it starts everywhere, and `--device cpu` runs
# everywhere. docs/gpu.md says what the machine with the GPU must have, and what was tested.
#
# CUDA_COMPUTE_CAP  the GPU's compute capability (default 90: H100, H200). The program runs on that one alone.
# CUDAFORGE_THREADS how many of CUDA's compilers run at once (default: all cores)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$root/target/cuda}
work=$(mkdir -p "$work" && cd "$work" && pwd)
python=${PYTHON:-python3}

# The compiler must not be newer than the GPU's driver: kernels travel as PTX, which the driver compiles, and driver 580 takes
# that of CUDA 13.0. These are the versions that make up CUDA 13.0.2, which PyTorch 2.11 asks for.
wheels=(
    nvidia-cuda-nvcc==13.0.88    # nvcc, cudafe++, ptxas, fatbinary, nvlink
    nvidia-nvvm==13.0.88         # cicc, libdevice
    nvidia-cuda-crt==13.0.88     # headers that nvcc includes
    nvidia-cuda-runtime==13.0.96 # cuda_runtime.h, libcudart_static.a
    nvidia-cuda-cccl==13.0.85    # cuda/std, cub, thrust
)
toolkit=$work/cuda-13.0
if [ ! -e "$toolkit/complete" ]; then
    rm -rf "$toolkit" "$work/wheels" "$work/unpacked"
    platforms=()
    for platform in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux2010; do
        platforms+=(--platform "${platform}_x86_64")
    done
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
        "${platforms[@]}" --dest "$work/wheels" "${wheels[@]}"
    for wheel in "$work"/wheels/*.whl; do
        "$python" -m zipfile -e "$wheel" "$work/unpacked"
    done
    mv "$work/unpacked/nvidia/cu13" "$toolkit"
    chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/* # zipfile forgets it
    ln -s lib "$toolkit/lib64"
    rm -rf "$work/unpacked" "$work/wheels"
    touch "$toolkit/complete"
fi

export CUDA_HOME=$toolkit
export PATH=$toolkit/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
export CUDARC_CUDA_VERSION=13000 # whose bindings cudarc takes
export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
export CARGO_TARGET_DIR=$work/build

cd "$root"
crates=$(cargo metadata --format-version 1 --locked --features cuda \
    --filter-platform x86_64-unknown-linux-gnu | "$python" -c '
import json, pathlib, sys
folders = {p["name"]: pathlib.Path(p["manifest_path"]).parent for p in json.load(sys.stdin)["packages"]}
print(folders["cudarc"], folders["candle-kernels"])')
# shellcheck disable=SC2086 # two words
"$python" scripts/cuda/stand_ins.py $crates "$toolkit/lib/stubs"

# nvcc for the kernels that m3 calls; for the others, what stand_ins.py made.
export NVCC=$toolkit/bin/m3-nvcc
cat > "$NVCC" <<'WRAPPER'
#!/usr/bin/env bash
here=$(cd "$(dirname "$0")" && pwd)
case "${*: -1}" in
    *mmvq_gguf.cu) instead=left_out.o ;;
    */moe/* | */mmq_gguf/*) instead=nothing.o ;;
    *) exec "$here/nvcc" "$@" ;;
esac
while [ "$1" != -o ]; do shift; done
cp "$here/../lib/stubs/$instead" "$2"
WRAPPER
chmod +x "$NVCC"
rm -f "$toolkit"/lib/libcudart.so "$toolkit"/lib/libcudart.so.*
ln -sf libcudart_static.a "$toolkit/lib/libcudart.a"

cargo build --release --locked --features cuda --bin m3
cp "$CARGO_TARGET_DIR/release/m3" "$work/m3"
strip "$work/m3"
ls -l "$work/m3"
