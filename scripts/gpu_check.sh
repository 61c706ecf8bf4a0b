#!/usr/bin/env bash
# What a GPU machine can tell of this project in one run; docs/gpu.md explains it.
#   bash scripts/gpu_check.sh [--device cuda|cpu] [--quick] [--stages A,B] [--out DIR] [--seconds 500]
#   bash scripts/gpu_check.sh --pack FILE.tar.gz     writes what must travel to the machine
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
if [ -z "${PYTHON:-}" ] && [ -x "$root/.venv/bin/python" ]; then python=$root/.venv/bin/python; fi
# `packages` holds what a packed tree brings along.
export PYTHONPATH="$root:$root/packages${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# Threads that wait by spinning take the time of whatever else runs; small work does best on one.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
case " $* " in *" cpu "*) export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} ;; esac
if [ "${1:-}" = --pack ]; then
  exec "$python" -m benchmarks.gpu_check pack "${2:?: which file to write}"
fi
exec "$python" -m benchmarks.gpu_check run "$@"
