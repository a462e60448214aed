"""Training of the project's own models, one straight loop each: `gan` (StyleGAN2) and `clip` (a small CLIP).

Knows no interface and no domain expansion. The loops share `data` (pictures in a reproducible order), `draws` (every
random number of a step as a function of seed and step) and `run` (folder, checkpoints, progress, interruption).
"""
