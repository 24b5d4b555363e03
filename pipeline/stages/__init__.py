"""The stages of dvc.yaml, one module each; none imports another."""

import os

from pipeline.runtime import interrupts
from pipeline.runtime.parents import BELOW_DVC, end_with_dvc

# both here, before a stage's own imports, which take seconds: DVC may be killed meanwhile, or Ctrl-C pressed
interrupts.end_quietly()  # a stage may be killed at any moment: it has nothing to put in order
if BELOW_DVC in os.environ:
    end_with_dvc()
