"""Runs snippets of docs/porting.md in the Paddle at hand: ``porting.py < [[…], …]``, as JSON.

A snippet is statements with ``;`` between, of which the last is an expression; its value comes back
as a list, or what it raised by name. Every snippet starts with the same arrays.
"""

import json
import sys

import numpy as np
import paddle


def names_1():
    import paddle.fluid as fluid
    from paddle.fluid import dygraph, layers

    return {
        "fluid": fluid, "dygraph": dygraph, "layers": layers, "tensor": dygraph.to_variable,
        **{name: getattr(dygraph, name) for name in
           ("Linear", "Conv2D", "Pool2D", "BatchNorm", "Embedding", "to_variable")},
    }  # fmt: skip


def names_3():
    return {"paddle": paddle, "nn": paddle.nn, "F": paddle.nn.functional,
            "tensor": paddle.to_tensor}  # fmt: skip


def run(snippet):
    is_1 = paddle.__version__.startswith("1.")
    names = {"np": np, **(names_1() if is_1 else names_3())}
    random, tensor = np.random.RandomState(0), names["tensor"]
    z = random.randn(4, 10).astype("float32")
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    x = random.rand(4, 2, 6, 6).astype("float32")
    arrays = {"x": x, "z": z, "p": p, "label": np.array([[3], [1], [4], [1]]), "a": z.copy()}
    names.update({name: tensor(array) for name, array in arrays.items() if name != "a"})
    names["a"] = arrays["a"]
    *statements, last = snippet.split("; ")
    try:
        exec("\n".join(statements), names)
        value = eval(last, names)  # noqa: S307
        value = value.numpy() if hasattr(value, "numpy") else value
        return {"value": np.asarray(value, "float64").tolist()}
    except Exception as error:
        return {"raised": type(error).__name__, "says": str(error)[-300:]}


def in_dygraph(snippet):
    if not paddle.__version__.startswith("1."):
        return run(snippet)
    import paddle.fluid as fluid

    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.unique_name.guard():
        return run(snippet)


if __name__ == "__main__":
    print("\n" + json.dumps([in_dygraph(snippet) for snippet in json.load(sys.stdin)]))
