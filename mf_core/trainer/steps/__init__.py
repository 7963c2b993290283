"""Steps: what computes gradients and updates weights."""
