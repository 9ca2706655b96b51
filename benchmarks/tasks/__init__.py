"""The tasks, one file each; see `benchmarks.task`."""
