"""How good a model is: evaluation, non-learned baselines, scores for promotion, drift."""
