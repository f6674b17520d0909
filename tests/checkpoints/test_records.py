"""What a run's records say of it."""

from mnist.checkpoints import records
from tests.material.checkpoints import record


def test_the_best_epoch_is_the_most_accurate_then_the_lowest_loss_then_the_first():
    assert records.best_record([]) is None
    history = [record(1, 0.8), record(2, 0.9, 0.3), record(3, 0.9, 0.2), record(4, 0.9, 0.2)]
    assert records.best_record(history).epoch == 3
