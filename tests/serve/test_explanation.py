"""What the network saw: the maps of its first convolution."""

import numpy as np
import pytest
from helpers import digits, dygraph

from mnist import config as configs
from mnist.model import architectures
from mnist.serve.explanation import Answer, first_maps


@pytest.mark.parametrize("name", ["lenet", "lenet5", "fc", "embedding"])
def test_the_first_convolution_is_seen_where_there_is_one(name):
    chosen = digits().eval.images[:3]
    with dygraph() as fluid:
        model = architectures.build(configs.default([f"model.name={name}"]).model, seed=1)
        model.eval()
        latest = first_maps(model)
        model(fluid.dygraph.to_variable(np.divide(chosen[:, None], 255, dtype=np.float32)))
        maps = latest[0].numpy() if latest else None
    if name in ("fc", "embedding"):
        assert maps is None
        return
    assert maps.shape[:2] == (3, 20 if name == "lenet" else 6) and maps.ndim == 4
    pictures = [np.array(Answer(None, own).feature_maps()) for own in maps]
    for picture, own in zip(pictures, maps):
        assert picture.shape == own.shape and picture.min() >= 0 and picture.max() == 255
    assert not np.array_equal(pictures[0], pictures[1])
