"""What the add-on knows without a user interface."""
