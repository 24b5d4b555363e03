"""The stages of dvc.yaml, one module each; none imports another."""

import os

from pipeline.runtime.parents import BELOW_DVC, end_with_dvc

# here, before a stage's own imports, which take seconds: DVC may be killed meanwhile
if BELOW_DVC in os.environ:
    end_with_dvc()
