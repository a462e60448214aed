"""Linear boundaries of attributes in W, and moving codes along their normals.

Source: Shen et al., "Interpreting the Latent Space of GANs for Semantic Face Editing" (InterFaceGAN, arXiv 1907.10786),
section 3. Where the scores of an attribute come from is the caller's matter; knows no pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from explorer.refused import Refused

KEPT = 0.2  # of the codes at either end of the scores: what lies between teaches little
HELD_OUT = 0.3  # of those, for the accuracy
FEWEST = 10  # codes at either end


class BoundaryError(Refused):
    """A boundary that cannot be; the message says what was expected."""


@dataclass(frozen=True)
class Boundary:
    """A hyperplane of W: `normal` `[dim]` of unit length towards more of the attribute, through `offset * normal`.

    `spread` is the standard deviation of codes along the normal, the natural unit of a slider. `accuracy` is the
    fraction of held-out codes on the right side; None where it came without any.
    """

    normal: Tensor
    offset: float = 0.0
    spread: float = 1.0
    accuracy: float | None = None

    def distance(self, w: Tensor) -> Tensor:  # [..., dim] -> [...]
        """Signed distance of codes: positive where the attribute is."""
        return w @ self.normal.to(w) - self.offset


def fit_boundary(
    w: Tensor,  # [N, dim]
    scores: Tensor,  # [N], more is more of the attribute; or booleans
    seed: int = 0,
) -> Boundary:
    """The boundary between the codes of high and low scores by a linear support vector machine.

    The KEPT highest and lowest are used (with booleans, all), HELD_OUT of them to measure. Raises BoundaryError where
    one side has fewer than FEWEST codes or all scores are equal.
    """
    from sklearn.svm import SVC  # takes a second that most programs need not spend

    low, high = _ends(scores)
    if min(len(low), len(high)) < FEWEST:
        raise BoundaryError(f"a boundary needs {FEWEST} codes on either side, got {len(low)} and {len(high)}")
    chosen = torch.cat([low, high])
    labels = torch.cat([torch.zeros(len(low)), torch.ones(len(high))]).numpy()
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed)).numpy()
    codes = w.detach().cpu().double()[chosen].numpy()
    centre, scale = codes.mean(axis=0), codes.std() + 1e-12  # one scale for all: directions must not bend
    codes = (codes - centre) / scale
    test, train = np.split(order, [max(round(HELD_OUT * len(order)), 1)])
    if len(set(labels[train])) < 2:
        raise BoundaryError(f"a boundary needs {FEWEST} codes on either side")
    machine = SVC(kernel="linear", class_weight="balanced").fit(codes[train], labels[train])
    normal, length = machine.coef_[0], np.linalg.norm(machine.coef_[0])
    unit = normal / length
    offset = float(centre @ unit - scale * machine.intercept_[0] / length)
    direction = torch.from_numpy(unit).float()
    accuracy = float((machine.predict(codes[test]) == labels[test]).mean())
    return Boundary(direction, offset, float((w.detach().cpu().float() @ direction).std()), accuracy)


def _ends(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the low and of the high codes."""
    scores = scores.detach().cpu()
    if scores.dtype == torch.bool:
        return (~scores).nonzero().flatten(), scores.nonzero().flatten()
    if not torch.isfinite(scores).all() or scores.min() == scores.max():
        raise BoundaryError("the scores of an attribute must be finite and differ")
    count, order = int(KEPT * len(scores)), scores.argsort(stable=True)
    return order[:count], order[len(order) - count :]


def condition(boundary: Boundary, *others: Boundary) -> Boundary:
    """The boundary whose normal leaves the other attributes where they are (InterFaceGAN, section 3.2, figure 2).

    `n - P n` with P the projection on the others' normals. Raises BoundaryError where nothing is left.
    """
    basis = torch.linalg.qr(torch.stack([other.normal for other in others], dim=1)).Q
    rest = boundary.normal - basis @ (basis.t() @ boundary.normal)
    if rest.norm() < 1e-3:
        raise BoundaryError("this attribute cannot be told from the others: their boundaries are parallel")
    return Boundary(rest / rest.norm(), boundary.offset, boundary.spread)


def from_array(array: np.ndarray, dim: int, layers: int) -> list[Boundary]:
    """Boundaries of other programs: InterFaceGAN's `[1, dim]`, SeFa's `[K, dim]`, or one `[dim]`.

    Raises BoundaryError for another shape, for NaN, for a normal of length 0, and where there are as many rows as a
    code has `layers`: such files are one direction of W+ as often as several of W.
    """
    rows = np.atleast_2d(array)
    if rows.ndim != 2 or rows.shape[1] != dim or rows.dtype.kind not in "fiu" or len(rows) > dim:
        raise BoundaryError(f"boundaries of this generator are [K, {dim}] numbers, got {rows.dtype} {array.shape}")
    if len(rows) == layers > 1 and (rows != rows[0]).any():
        raise BoundaryError(
            f"{layers} rows are one direction for this generator's {layers} layers, or {layers} directions: save the"
            f" one that you mean as [1, {dim}]"
        )
    rows = rows[:1] if len(rows) == layers else rows  # the same for every layer
    normals = torch.from_numpy(rows.astype(np.float32))
    lengths = normals.norm(dim=1, keepdim=True)
    if not torch.isfinite(lengths).all() or (lengths == 0).any():
        raise BoundaryError("a boundary's normal must be finite and not zero")
    return [Boundary(normal) for normal in normals / lengths]
