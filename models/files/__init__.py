"""The files of trained models: written atomically, checked before they are used."""
