"""What stands behind `unitdot.dask`: blocks of rows, graphs of tasks, and what a task does."""
