"""Any picture to 28×28."""
