"""The ablation of the domain regulariser: reconstruction falls and editing rises with lambda_dom.

`python -m benchmarks.lambda_dom PICTURES [--count 32]` prints the figures and draws docs/lambda_dom.png. Held-out
pictures of the embedded default's training set, searches in W+ with the published settings but for that weight
(In-Domain GAN Inversion, arXiv 2004.00049, section 4.4).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from explorer.engine import Engine
from explorer.engine.inverting import networks_of
from explorer.inversion import comparison
from explorer.networks.pixels import from_pixels
from explorer.training.data import Pictures
from explorer.weights import DEFAULT, load

PLOT = Path(__file__).parent.parent / "docs" / "lambda_dom.png"
HELD_OUT = 0.05


def draw(rows: dict[float, comparison.Row], path: Path) -> None:
    """Two curves over the weight: likeness on the left axis, edit quality on the right one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    at, names = range(len(rows)), [f"{weight:g}" for weight in rows]
    (likeness,) = left.plot(at, [row.psnr for row in rows.values()], "o-", color="#4f46e5", label="PSNR, dB")
    (editing,) = right.plot(
        at,
        [float("nan") if row.edit is None else row.edit for row in rows.values()],
        "s-",
        color="#db2777",
        label="edit quality",
    )
    left.set(xlabel="lambda_dom", ylabel="PSNR, dB", xticks=at, xticklabels=names)
    right.set_ylabel("edit quality (1: as a sampled code)")
    left.legend(handles=[likeness, editing], loc="center right", frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="The ablation of lambda_dom.")
    parser.add_argument("photos", metavar="FOLDER_OR_ZIP")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--plot", type=Path, default=PLOT)
    arguments = parser.parse_args()
    engine = Engine(load(DEFAULT))
    pictures = Pictures(arguments.photos, engine.resolution, HELD_OUT, held_out=True)
    count = min(arguments.count, len(pictures))
    photos = from_pixels(torch.stack([pictures[i][0] for i in range(count)]).to(engine.device))
    networks = networks_of(engine)
    rows = comparison.ablation(networks, photos, engine.checkpoint.expansion)
    draw(rows, arguments.plot)
    print(f"{count} photos\n{comparison.table(list(rows.values()), networks.perceptual.name)}\n{arguments.plot}")


if __name__ == "__main__":
    main()
