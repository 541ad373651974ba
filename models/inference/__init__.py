"""Running the trained models: compiled on the CPU, torch on CUDA."""
