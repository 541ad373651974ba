"""The checks of `monitor doctor`."""
