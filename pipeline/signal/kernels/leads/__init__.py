"""Which of several leads is looked at."""
