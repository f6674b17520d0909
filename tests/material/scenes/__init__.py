"""Pictures of digits as people photograph, scan and draw them: what the house is tried with.

``KINDS`` holds every kind of picture by its name, ``NO_DIGITS`` the kinds that nothing may call
one digit. A kind takes a digit of MNIST's (those that no training sees) and a random stream, and
returns a file's bytes; ``picture(name, digit, number)`` draws the number-th of a kind, always the
same one. Nothing here uses ``mnist``: what reads the pictures is not what drew them.
"""

from tests.material.scenes import around, beside, hands, nothing, plain, printed, sheets
from tests.material.scenes.canvas import Digit, encoded
from tests.material.scenes.registry import KINDS, NO_DIGITS, Kind, picture, stream

__all__ = ["KINDS", "NO_DIGITS", "Digit", "Kind", "encoded", "picture", "stream"]
# Importing a module of kinds is what lists them.
__all__ += ["around", "beside", "hands", "nothing", "plain", "printed", "sheets"]
