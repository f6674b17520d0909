"""``python -m mnist.predict``. Empty: ``__main__`` checks the environment first."""
