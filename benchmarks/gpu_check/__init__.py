"""Everything worth knowing of a GPU in one run: `scripts/gpu_check.sh`, see `docs/gpu.md`."""
