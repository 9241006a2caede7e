"""Training: objective, loop, devices, progress and history."""
