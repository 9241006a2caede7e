"""Ctrl-C in the course of a training."""

import contextlib

import pytest

from embudo.data.batches import Batches


@contextlib.contextmanager
def epochs_begun(stop=None):
    """Yield the numbers of the epochs begun since, in all trainings; Ctrl-C comes as the `stop`-th of them begins."""
    epoch, begun = Batches.epoch, []

    def watched(self, number):
        begun.extend([number] * (number > 0))  # epoch 0 is looked at, not learnt from
        if len(begun) == stop:
            raise KeyboardInterrupt
        return epoch(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "epoch", watched)
        yield begun
