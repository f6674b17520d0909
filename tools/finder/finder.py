"""``mnist.pictures.finder``, by the name that the scripts here have for it."""

from mnist.pictures.finder import *  # noqa: F403
