"""The plain recurrent network over flattened frames: h_t = σ(W_hh h_{t-1} + W_xh x_t + b_h), y_t = W_hy h_t + b_y."""

from typing import Literal

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]  # h_t of each layer, (B, hidden_size)


class PlainRnn(nn.Module):
    """Elman network (1990) on the pixels of a frame; the output goes through tanh, which bounds it to [-1, 1]."""

    def __init__(
        self,
        frame_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden_size: int,
        num_layers: int,
        nonlinearity: Literal["tanh", "sigmoid"],
    ) -> None:
        super().__init__()
        channels, height, width = frame_shape
        self.out_shape = (out_channels, height, width)
        self.nonlinearity = nonlinearity
        widths = [channels * height * width] + [hidden_size] * num_layers
        self.W_xh = nn.ParameterList(torch.empty(hidden_size, width_in) for width_in in widths[:-1])
        self.W_hh = nn.ParameterList(torch.empty(hidden_size, hidden_size) for _ in range(num_layers))
        self.b_h = nn.ParameterList(torch.zeros(hidden_size) for _ in range(num_layers))
        self.output = nn.Linear(hidden_size, out_channels * height * width)
        for W_xh, W_hh in zip(self.W_xh, self.W_hh, strict=True):
            nn.init.xavier_uniform_(W_xh)
            nn.init.orthogonal_(W_hh)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (B, T, out_channels, H, W) and the state, (B, hidden_size) per layer, after the last frame."""
        batch, time = frames.shape[:2]
        x = frames.reshape(batch, time, -1)
        if state is None:
            # σ of nothing yet: h_{-1} = 0
            state = tuple(x.new_zeros(batch, W_hh.shape[0], dtype=W_hh.dtype) for W_hh in self.W_hh)
        last = []
        for W_xh, W_hh, b_h, h in zip(self.W_xh, self.W_hh, self.b_h, state, strict=True):
            x = self._layer(x, h, W_xh, W_hh, b_h)
            last.append(x[:, -1])
        y = torch.tanh(self.output(x).float())  # y_t = W_hy h_t + b_y, bounded; in float32 under autocast too
        return y.reshape(batch, time, *self.out_shape), tuple(last)

    def _layer(self, x: Tensor, h: Tensor, W_xh: Tensor, W_hh: Tensor, b_h: Tensor) -> Tensor:
        """h_t = σ(W_hh h_{t-1} + W_xh x_t + b_h) of all steps, (B, T, hidden_size), in torch's one kernel for tanh."""
        sigmoid = self.nonlinearity == "sigmoid"
        if sigmoid:
            # σ(z) = (1 + tanh(z/2)) / 2. With u = 2h - 1 the recurrence is one of tanh in u:
            # u_t = tanh(z_t/2), z_t/2 = (W_hh/4) u_{t-1} + (W_xh/2) x_t + (b_h/2 + W_hh 1/4)
            b_h = b_h / 2 + W_hh.sum(dim=1) / 4
            W_xh, W_hh, h = W_xh / 2, W_hh / 4, 2 * h - 1
        weights = [W_xh, W_hh, b_h, torch.zeros_like(b_h)]  # the kernel adds two biases
        u, _ = torch.rnn_tanh(x, h[None], weights, True, 1, 0.0, self.training, False, True)
        return (1 + u) / 2 if sigmoid else u
