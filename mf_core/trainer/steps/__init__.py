"""Training steps: gradients and updates."""
