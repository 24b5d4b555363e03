"""What generators are built from and run by: layers, recurrent kernels, packed convolutions, rollout."""
