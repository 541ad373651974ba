"""What a student learns from: losses against teachers, its own teacher, the nearest beats."""
