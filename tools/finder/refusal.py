"""``mnist.pictures.refusal``, by the name that the scripts here have for it."""

from mnist.pictures.refusal import *  # noqa: F403
