"""The dashboard as a program in a terminal: keys, mouse and frames, by Textual."""
