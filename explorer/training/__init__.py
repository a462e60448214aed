"""What every trainer shares: `loop`, a run's folder (`run`), its settings (`options`, `command`), pictures in a

reproducible order (`data`), every random number of a step as a function of seed and step (`draws`), losses and
optimisers' steps. Knows no model; `explorer.recipes` trains one each, `explorer.expansion` teaches domains.
"""
