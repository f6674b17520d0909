"""What is trained, how, and how good it is."""
