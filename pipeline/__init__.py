"""Videos in, a trained recurrent generator and rendered videos out: the stages, the library, the command line."""

import os

# Here, because OpenMP reads it once, when torch is loaded. Its threads wait for each other by spinning: beside other
# work that takes the cores, a training step of 0.09 s took 9 s. After so many turns they sleep, which costs nothing on
# an idle machine and leaves every result as it is. A person's own setting is left alone.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
