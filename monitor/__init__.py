"""The command line, the dashboard, and the processes of a run."""
