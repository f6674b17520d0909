"""``python -m mnist.adopt``. Empty: ``__main__`` checks the environment first."""
