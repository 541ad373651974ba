"""Record the whole signal of streams as WFDB, and play it back."""
