#!/usr/bin/env bash
# Tests and measures this project on a GPU machine in one run; see docs/gpu.md.
#   bash scripts/gpu_check.sh [--device cuda|cpu] [--quick] [--stages A,B] [--out DIR] [--seconds 500]
#   bash scripts/gpu_check.sh --pack FILE.tar.gz     writes an archive to copy to the machine
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
if [ -z "${PYTHON:-}" ] && [ -x "$root/.venv/bin/python" ]; then python=$root/.venv/bin/python; fi
# `packages` holds the Python packages of a packed tree.
export PYTHONPATH="$root:$root/packages${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# Threads that spin while they wait slow down other programs; small work is fastest on one thread.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
case " $* " in *" cpu "*) export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} ;; esac
if [ "${1:-}" = --pack ]; then
  exec "$python" -m benchmarks.gpu_check pack "${2:?: which file to write}"
fi
exec "$python" -m benchmarks.gpu_check run "$@"
