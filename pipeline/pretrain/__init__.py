"""How the weights that foreframe comes with are made: composed scenes, and a training of its own (see dvc.yaml)."""
