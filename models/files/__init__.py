"""The files of trained models, checked before they are believed."""
