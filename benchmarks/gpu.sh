#!/bin/sh
# Every check and benchmark that needs a GPU, in one call of under 15 minutes and without a network:
#
#     benchmarks/gpu.sh                 # results in work/gpu, or in $OUT: gpu.json, gpu.md, and a log per step
#     benchmarks/gpu.sh --rehearse      # the same on a CPU, tiny: shows that it works
#     benchmarks/gpu.sh --only tests train --minutes 9
#
# Needs python3 (or $PYTHON) with torch, transformers and the packages of pyproject.toml that training imports. Wheels of those that are
# missing may lie in .whl/ beside the checkout's files; benchmarks/gpu.py --wheels lists what is missing.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if ls .whl/*.whl >/dev/null 2>&1; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
fi
# The package is not installed; its metadata has the version that models and checkpoints record.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
mkdir "$site/mtl-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: mtl\nVersion: %s\n' "$version" > "$site/mtl-$version.dist-info/METADATA"
export PYTHONPATH="$PWD/src:$site" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
"$python" benchmarks/gpu.py "$@"
