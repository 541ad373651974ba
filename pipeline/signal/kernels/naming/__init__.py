"""The compiled measures of single beats that name them, and the trees that do."""
