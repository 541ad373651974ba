"""The report of a recording: what was found, as numbers and as one page."""
