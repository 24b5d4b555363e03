"""Tests of pipeline/training/progress.py."""

import torch
from torch import nn

from pipeline.training.progress import Progress


def test_losses_are_averaged_over_the_epoch_and_begin_anew_with_the_next():
    progress = Progress(epoch_loss=torch.zeros(()))
    progress.end_step(torch.tensor(1.0))
    progress.end_step(torch.tensor(4.0))
    assert (progress.step, progress.epoch_steps, progress.mean_loss) == (2, 2, 2.5)
    progress.end_epoch({"train_loss": 2.5})
    progress.end_step(torch.tensor(3.0))
    assert (progress.step, progress.epoch_steps, progress.mean_loss) == (3, 1, 3.0)
    assert progress.history == [{"train_loss": 2.5}]


def test_the_best_weights_are_a_copy_and_an_equal_error_does_not_replace_them():
    progress, model = Progress(epoch_loss=torch.zeros(())), nn.Linear(1, 1, bias=False)
    kept = []
    for epoch, error in enumerate((0.5, 0.25, 0.25, 0.75, float("nan")), 1):
        nn.init.constant_(model.weight, epoch)
        kept.append(progress.keep_if_best(model, {"val_mse": error}, epoch))
    assert kept == [True, True, False, False, False]
    assert (progress.best_row, progress.best_epoch) == ({"val_mse": 0.25}, 2)
    assert progress.best_weights["weight"].item() == 2
