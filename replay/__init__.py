"""Where samples come from: WFDB records, devices, and the synthetic patient."""
