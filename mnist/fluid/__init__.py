"""Paddle's quirks, each in one place."""
