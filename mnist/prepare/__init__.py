"""``python -m mnist.prepare``. Empty: ``__main__`` checks the environment first."""
