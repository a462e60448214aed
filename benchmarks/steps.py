"""A diffusion autoencoder of 64 px in the engine: a slider's move at each number of steps, and a photo found.

Medians of process CPU time, on the model that comes with the program. Bars of wall time on two idle cores:
a move at the first number of steps 150 ms, at the last 600 ms; a photo 3 s.
"""

from __future__ import annotations

import numpy as np

from benchmarks.engine import medians
from explorer import Edit, Engine, load
from explorer.engine import inverting

BARS = (150, 600, 3000)  # ms


def main() -> None:
    engine = Engine(load("cats64-diffae"))
    turn = 0

    def moved(steps: int) -> np.ndarray:
        nonlocal turn
        turn += 1
        return engine.render(Edit(steps=steps, strengths={0: 0.001 * turn}))

    moves = {str(steps): lambda steps=steps: moved(steps) for steps in engine.codes.steps}
    times = medians(moves, 15)
    photo = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    settings = inverting.settings_of(engine)
    found = medians({"photo": lambda: list(inverting.invert(engine, photo, settings))}, 2)
    print(f"{engine.precision}: " + ", ".join(f"{steps} steps {ms:.0f} ms" for steps, ms in times.items()))
    print(f"a photo in {settings.steps} steps, figures included: {found['photo'] / 1000:.1f} s; bars {BARS} ms")


if __name__ == "__main__":
    main()
