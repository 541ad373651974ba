"""The model cards: what ships, measured, beside what was asked of it."""
