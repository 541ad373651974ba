"""The command line: parse, and call one function."""
