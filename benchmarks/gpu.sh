#!/usr/bin/env bash
# The GPU benchmarks on a machine without a network, from the folder that `python -m benchmarks.gpu_prepare` made.
#   PYTHON    an interpreter with torch, torchvision, timm, transformers and pandas (default python3)
#   PREPARED  the prepared folder (default build/gpu)
#   OUT       where the report goes (default reports/gpu)
# Arguments are those of `python -m benchmarks.gpu`, e.g. --skip checks steps --seconds 300 --seeds 0
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3} PREPARED=${PREPARED:-build/gpu} OUT=${OUT:-reports/gpu}
if [ ! -f "$PREPARED/manifest.json" ]; then
  echo "phenolip: $PREPARED: nothing is prepared there; run \`python -m benchmarks.gpu_prepare\` first" >&2
  exit 1
fi
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if compgen -G "$PREPARED/wheels/*.whl" >/dev/null; then
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile \
    --target "$site" "$PREPARED"/wheels/*.whl
fi
export PYTHONPATH="$site:$PWD${PYTHONPATH:+:$PYTHONPATH}"
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
"$PYTHON" -m benchmarks.gpu --prepared "$PREPARED" --out "$OUT" "$@"
