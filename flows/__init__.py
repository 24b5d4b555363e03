"""Prefect flows: when, where and what next. The work itself is dvc.yaml's."""

import os

# here, because Prefect looks at it when it is imported: what runs on this machine tells nobody
os.environ.setdefault("DO_NOT_TRACK", "1")
