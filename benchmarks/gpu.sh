#!/usr/bin/env bash
# On a machine with a GPU and this package installed: agreement, evaluation and speed, in one JSON.
#     bash benchmarks/gpu.sh [FILE.json]
set -euo pipefail
cd "$(dirname "$0")/.."
nvidia-smi -L || echo "No GPU: everything runs on the CPU."
export TF_CPP_MIN_LOG_LEVEL=2 TF_FORCE_GPU_ALLOW_GROWTH=true NVIDIA_TF32_OVERRIDE=0
python benchmarks/gpu.py --json "${1:-benchmarks/results/gpu.json}"
