"""The training sidecar: recipes, embedders, losses and evaluation. Needs the train extra."""
