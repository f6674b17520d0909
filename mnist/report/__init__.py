"""``python -m mnist.report``. Empty: ``__main__`` checks the environment first."""
