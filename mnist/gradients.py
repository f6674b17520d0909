"""Gradients that layers compute themselves, where they know a quicker way than autograd's.

Paddle 1.8.5 computes a gradient in its own way or not at all. So a layer with a better one
cuts the graph (``detach``, or an output that is a leaf) and says with ``cut`` how the gradient
goes on from there, which ``backward`` does after ``loss.backward()``. Layers may do so inside
``cutting`` only: anywhere else models are plain autograd, and ``loss.backward()`` is all.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Callable, Dict, Iterator, Tuple

from mnist.framework import fluid

# Takes the gradient of a layer's output (VarBase), and carries on with that of its input.
Backward = Callable[[Any], None]
# What was cut and not yet carried on, by layer, in the order of the forward pass.
_pending: "ContextVar[Dict[Any, Tuple[Any, Backward]]]" = ContextVar("pending")


@contextmanager
def cutting() -> Iterator[None]:
    """Let layers cut the graph in here; gradients then come from ``backward`` only.

    Nothing in front of a cut may be used behind it as well: Paddle overwrites a gradient in the
    next backward pass. Raises RuntimeError at the end if a cut was not carried on.
    """
    token = _pending.set({})
    try:
        yield
        require_carried_on()
    finally:
        _pending.reset(token)


def may_cut() -> bool:
    """Whether a layer may ``cut`` the graph now."""
    return _pending.get(None) is not None


def cut(layer: Any, output: Any, carry_on: Backward) -> None:
    """Have ``carry_on`` called with the gradient of ``output``, after ``loss.backward()``.

    ``layer`` is who asks, once a step: RuntimeError if it has a cut that was not carried on.
    """
    pending = _pending.get()
    if layer in pending:
        require_carried_on()
    pending[layer] = output, carry_on


def backward(loss: Any) -> None:
    """``loss.backward()``, then what layers have cut off, the last first."""
    loss.backward()
    pending = _pending.get({})
    while pending:
        layer, (output, carry_on) = pending.popitem()
        gradient = output._grad_ivar()
        if gradient is None:
            raise RuntimeError(f"{layer.full_name()} cut the graph, but the loss is not behind it")
        carry_on(gradient)


def carry_to(values: Any, gradient: Any) -> None:
    """Start a backward pass at ``values``, ``gradient`` being the loss's for them.

    Raises RuntimeError if another way through the network has brought them one already.
    """
    if values.stop_gradient:
        return
    if values._grad_ivar() is not None:
        raise RuntimeError("what a layer cut off was used by another layer, too: see cutting()")
    gradient.stop_gradient = True
    # The sum's gradient for the values is `gradient`.
    fluid.layers.reduce_sum(values * gradient).backward()


def require_carried_on() -> None:
    """RuntimeError if the graph was cut, and the gradient never carried on."""
    names = ", ".join(layer.full_name() for layer in _pending.get({}))
    if names:
        raise RuntimeError(
            f"{names} cut the graph, and what is in front got no gradient: call"
            " model.backward(loss), not loss.backward(), once after each forward pass"
        )
