"""Handwritten digits on PaddlePaddle 1.8.5 ``fluid.dygraph``, from data to prediction.

Importing this package imports nothing else: Paddle takes a second or more and must
see its environment variables first (``mnist.fluid.environment``), so every room imports it late.
"""

__version__ = "0.1.0"
