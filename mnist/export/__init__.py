"""``python -m mnist.export``. Empty: ``__main__`` checks the environment first."""
