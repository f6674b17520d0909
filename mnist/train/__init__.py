"""``python -m mnist.train``. Empty: ``__main__`` checks the environment first."""
