"""How a network is trained: recipes, an image folder in, checkpoints and a model of the store out."""
