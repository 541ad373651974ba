"""What the models are worth: the protocols, EC57 counting, pictures, the model cards."""
