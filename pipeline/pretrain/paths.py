"""How things move: functions of time for positions, sizes, angles and light, as real ones are."""

import numpy as np
from numpy.typing import NDArray

Path = NDArray[np.float64]  # (T,)
KINDS = ("steady", "accelerating", "swinging", "starting", "wandering", "bouncing")
SHARES = (0.25, 0.1, 0.2, 0.15, 0.2, 0.1)
SLOWEST, FASTEST = 0.03, 4.0  # per frame


def path(rng: np.random.Generator, num_frames: int, scale: float = 1.0) -> Path:
    """A motion that begins at 0; `scale` times 0.03 to 4 per frame, slow as likely as fast."""
    times = np.arange(num_frames, dtype=float)
    speed = scale * np.exp(rng.uniform(np.log(SLOWEST), np.log(FASTEST))) * rng.choice([-1, 1])
    kind = rng.choice(KINDS, p=SHARES)
    if kind == "accelerating":
        return speed * (times + rng.uniform(-1, 1) * times**2 / num_frames)
    if kind == "swinging":
        rate, phase = rng.uniform(0.15, 1.2), rng.uniform(0, 2 * np.pi)
        return speed / rate * (np.sin(rate * times + phase) - np.sin(phase))
    if kind == "starting":  # or stopping, in the middle
        middle, width = rng.uniform(0, num_frames), rng.uniform(1, 4)
        speeds = 1 / (1 + np.exp(rng.choice([-1, 1]) * (times - middle) / width))
        return speed * (np.cumsum(speeds) - speeds[0])
    if kind == "wandering":
        memory = int(rng.integers(1, 7))  # frames, after which the direction is another
        steps = np.convolve(rng.normal(size=num_frames + memory - 1), np.ones(memory) / memory, mode="valid")
        return abs(speed) * (np.cumsum(steps) - steps[0])
    if kind == "bouncing":
        span, start = abs(speed) * rng.uniform(6, 30), rng.uniform(0, 2)
        return span * (_triangle(start + np.abs(speed) * times / span) - _triangle(np.array([start])))
    return speed * times


def _triangle(x: Path) -> Path:
    """A wave between 0 and 1 with period 2."""
    return np.abs((x + 1) % 2 - 1)
