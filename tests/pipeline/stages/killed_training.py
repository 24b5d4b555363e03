"""`python -m tests.pipeline.stages.killed_training RANK STEP MARKER …`: the stage train, whose process RANK is killed.

That happens before step STEP (from 0), once: never again where the file MARKER is. What follows are the stage's paths.
"""

import os
import signal
import sys
from pathlib import Path

from pipeline import stage
from pipeline.stages.train import train
from pipeline.training.loop import Training


def main() -> None:
    rank, step, marker = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    del sys.argv[1:4]
    original = Training.train_step

    def train_step(training: Training) -> None:
        if training.progress.step == step and training.accelerator.process_index == rank and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        original(training)

    Training.train_step = train_step
    stage.run(train)


if __name__ == "__main__":
    main()
