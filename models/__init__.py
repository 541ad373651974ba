"""BeatGAN teacher, student, classifier, training, evaluation, and the shipped weights."""
