"""``python -m mnist.evaluate``. Empty: ``__main__`` checks the environment first."""
