"""BeatGAN teacher, distilled student, training, evaluation, and the shipped weights."""
