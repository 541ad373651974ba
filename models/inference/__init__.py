"""Running the trained models: numpy on the CPU, torch on CUDA."""
