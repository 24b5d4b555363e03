"""The article's reference model: LSTM(128), LSTM(128), Dense(tanh) over flattened frames."""

from functools import cache

import torch
from torch import Tensor, nn

WIDE = 8  # times the gates: from so many features on it is faster to take the input out of the kernel (measured)
State = tuple[Tensor, Tensor]  # h_t and c_t, (B, num_layers, hidden_size)


class StackedLstm(nn.Module):
    """Stacked long short-term memory (Hochreiter & Schmidhuber 1997; with the forget gate of Gers et al. 2000).

    Weights begin as Keras begins those of the article: Glorot uniform on x, orthogonal on h, forget bias 1.
    """

    def __init__(
        self, frame_shape: tuple[int, int, int], out_channels: int, *, hidden_size: int, num_layers: int
    ) -> None:
        super().__init__()
        channels, height, width = frame_shape
        self.out_shape = (out_channels, height, width)
        # i, f, o = σ(W x_t + U h_{t-1} + b), g = tanh(W x_t + U h_{t-1} + b), c_t = f c_{t-1} + i g, h_t = o tanh(c_t)
        self.lstm = nn.LSTM(channels * height * width, hidden_size, num_layers, batch_first=True)
        self.output = nn.Linear(hidden_size, out_channels * height * width)
        self.has_bfloat16 = bfloat16_lstm_available()  # asked here, where no checkpointing or estimate is under way
        for layer in range(num_layers):
            nn.init.xavier_uniform_(getattr(self.lstm, f"weight_ih_l{layer}"))
            nn.init.orthogonal_(getattr(self.lstm, f"weight_hh_l{layer}"))
            nn.init.zeros_(getattr(self.lstm, f"bias_hh_l{layer}"))
            # torch's order of gates is i, f, g, o
            bias = torch.zeros(4, hidden_size)
            bias[1] = 1
            getattr(self.lstm, f"bias_ih_l{layer}").data.copy_(bias.flatten())
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (B, T, out_channels, H, W) and the state, (B, num_layers, hidden_size) each, after the last frame."""
        batch, time = frames.shape[:2]
        # torch keeps a state layers first, the contract batch first
        begin = None
        if state is not None:
            begin = state[0].transpose(0, 1).contiguous(), state[1].transpose(0, 1).contiguous()
        hidden, (h, c) = self._recur(frames.reshape(batch, time, -1), begin)
        # float under autocast: bfloat16 has no grey between -1 and -0.996
        y = torch.tanh(self.output(hidden).float())
        return y.reshape(batch, time, *self.out_shape), (h.transpose(0, 1), c.transpose(0, 1))

    def _recur(self, x: Tensor, begin: State | None) -> tuple[Tensor, State]:
        """What self.lstm returns for (B, T, features), by whichever kernel is fast or there at all."""
        if not torch.is_autocast_enabled("cpu") or x.device.type != "cpu":
            return self.lstm(x, begin)
        if torch.get_autocast_dtype("cpu") == torch.bfloat16 and not self.has_bfloat16:
            with torch.autocast("cpu", enabled=False):
                return self.lstm(x.float(), None if begin is None else (begin[0].float(), begin[1].float()))
        num_gates = 4 * self.lstm.hidden_size
        if x.shape[-1] < WIDE * num_gates:
            return self.lstm(x, begin)
        # The processor's recurrent kernel computes a gradient w.r.t. x, which nobody wants, and half its time goes
        # there where frames are wide. So W x_t + b is taken out of it, and it is given 1 for a W.
        (W, U, b_x, b_h), *others = self.lstm.all_weights
        gates = nn.functional.linear(x, W, b_x + b_h)
        identity, zero = torch.eye(num_gates), torch.zeros(num_gates)
        if begin is None:
            h = gates.new_zeros(self.lstm.num_layers, len(x), self.lstm.hidden_size)
            begin = h, h
        weights = [identity, U, zero, zero, *(weight for layer in others for weight in layer)]
        y, h, c = torch.lstm(gates, begin, weights, True, self.lstm.num_layers, 0.0, self.training, False, True)
        return y, (h, c)


@cache
def bfloat16_lstm_available() -> bool:
    """Whether this processor has an LSTM in bfloat16: oneDNN has none without AMX or the like, and says so in an error.

    Asked once, by training a tiny one; where there is none, the recurrence is computed in float32.
    """
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        x, h, bias = (torch.zeros(shape, device="cpu") for shape in ((1, 1, 1), (1, 1, 1), (4,)))
        weight = torch.zeros(4, 1, device="cpu", requires_grad=True)
        try:
            y, *_ = torch.lstm(x, (h, h), [weight, weight, bias, bias], True, 1, 0.0, True, False, True)
            y.float().sum().backward()
        except RuntimeError:
            return False
    return True
