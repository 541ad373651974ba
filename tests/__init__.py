"""The tests, in folders as the packages are."""
