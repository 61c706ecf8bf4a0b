"""All checks and measurements on a GPU in one run: `scripts/gpu_check.sh`, see `docs/gpu.md`."""
