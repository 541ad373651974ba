"""Learning: the networks' losses and steps, runs that resume, the ablation."""
