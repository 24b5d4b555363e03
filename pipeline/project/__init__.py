"""A project's folder: made for somebody's own videos, looked at, and told what stands in its way."""
