"""Live devices, each as a source of samples, and their addresses."""
