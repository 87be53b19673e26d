"""Training: engines, phases, the loop, checkpoints, and how it is launched."""
