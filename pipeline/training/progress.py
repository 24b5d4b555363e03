"""How far a training is and the best that it found: saved as it is in a checkpoint, beside weights and optimizers."""

from dataclasses import dataclass, field

from torch import Tensor, nn

Row = dict[str, float]  # what an epoch's end knows: train_loss, val_mse, val_ssim, learning_rate


@dataclass
class Progress:
    """Plain values and tensors, all that changes while a generator is trained but for weights and optimizers."""

    epoch_loss: Tensor  # a scalar, summed over the epoch's steps so far
    epoch_steps: int = 0
    step: int = 0  # of the optimizer, those of all epochs
    seconds: float = 0.0  # spent on steps and validation, before a kill too
    history: list[Row] = field(default_factory=list)  # one row per epoch
    best_row: Row | None = None  # errors in validation, of the best weights; None before the first validation
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0  # at whose end they were the model's, from 1; 0: those that training began with

    def end_step(self, loss: Tensor) -> None:
        """Count a step whose batch had the mean loss `loss`, a scalar."""
        self.epoch_loss += loss
        self.step += 1
        self.epoch_steps += 1

    def end_epoch(self, row: Row) -> None:
        """Add the epoch's row to the history, and begin the next epoch."""
        self.history.append(row)
        self.epoch_loss.zero_()
        self.epoch_steps = 0

    def keep_if_best(self, model: nn.Module, errors: Row, epoch: int) -> bool:
        """Keep a copy of the weights of `model`, of `epoch`, if their `errors` in validation are the least so far."""
        better = self.best_row is None or errors["val_mse"] < self.best_row["val_mse"]
        if better:
            self.best_weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            self.best_row, self.best_epoch = errors, epoch
        return better

    @property
    def mean_loss(self) -> float:
        """Of the epoch's steps so far, of which there is at least one."""
        return self.epoch_loss.item() / self.epoch_steps


def described(row: Row) -> str:
    """As a line of the log says it."""
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())
