"""`monitor wall`: a page that shows a ward in a browser, read-only."""
