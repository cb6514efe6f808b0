"""Lightning callbacks: what happens to a run beside the optimization."""
