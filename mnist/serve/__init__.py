"""``python -m mnist.serve``. Empty: ``__main__`` checks the environment first."""
