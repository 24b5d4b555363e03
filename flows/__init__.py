"""Prefect flows: when, where and what next. The work itself is dvc.yaml's."""
