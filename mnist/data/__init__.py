"""Files to validated arrays."""
