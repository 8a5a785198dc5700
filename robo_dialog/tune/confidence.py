"""How sure a detector may be, told from how often its views contradict each other: pure functions, no labels.

Some cameras of an episode are asked for a margin, the others for their side: success or failure. If a margin m is right
with probability s(m / T) and the others err in a share e, they say "success" with probability e + (1 - 2 e) s(m / T).
Fitting T and e together gives the temperature if views err independently, which makes it too low, because they partly
err together; fitting T alone blames the margin for every contradiction, which makes it too high. The truth lies
between, and the geometric mean of the two is taken. Of all cameras together there is nobody left to contradict, so the
temperatures of fewer are carried on by a power law: n views that err independently divide it by n, n equal ones by 1.
Probabilities that views earned in this way tell, too, where no verdict is better than one.

Shapes: `E` episodes, `C` cameras; NaN where an episode lacks a camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_dialog.play.splitting import split
from robo_dialog.tune.camera_weights import fused

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST_PAIRS = 80
_TEMPERATURES = np.exp(np.linspace(np.log(0.01), np.log(10.0), 140))
"""In spreads of the margins."""
_RANGE = (0.01, 100.0)
"""What a calibration takes, in logits."""
_ERRORS = np.linspace(0.0, 0.45, 46)


def temperatures_by_agreement(families: Sequence[tuple[Floats, Floats, Floats]]) -> dict[int, float]:
    """Temperature by number of fused cameras, 1 to C; empty if too little can be compared.

    Args:
        families: of each, margins (E, C); the same after averaging over other sights (wordings, augmentations), which
            must leave out the margin itself where there is a single camera; weights (C,).
    """
    found = {}
    cameras = max((margins.shape[1] for margins, _, _ in families), default=0)
    for count in range(1, max(cameras, 2)):
        pairs = [pair for family in families for pair in _comparisons(*family, count)]
        if sum(len(margin) for margin, _ in pairs) >= FEWEST_PAIRS:
            margins, sides = (np.concatenate(part) for part in zip(*pairs, strict=True))
            found[count] = temperature(margins, sides)
    return _carried_on(found, cameras) if 1 in found else {}


def temperature(margins: Floats, sides: Flags) -> float:
    """Between what independent errors and what no errors of the other views would give; see above.

    Args:
        margins: (N,) minus their boundary, in logits.
        sides: (N,) true where the other views say success.
    """
    tried = np.clip(_TEMPERATURES * (margins.std() or 1.0), *_RANGE)
    chances = 0.5 * (1 + np.tanh(margins[None] / (2 * tried[:, None])))
    losses = np.stack([_loss(error + (1 - 2 * error) * chances, sides) for error in _ERRORS])
    independent, blamed = tried[losses.min(0).argmin()], tried[losses[0].argmin()]
    return float(np.sqrt(independent * blamed))


def doubt_band(probabilities: Floats, doubt: float) -> float:
    """Half the width of the narrowest band around 0.5 outside of which verdicts are expected to be wrong so seldom.

    A verdict is expected to be wrong with the probability of the other side; the mean of that over the episodes outside
    the band is kept at `doubt`.

    Args:
        probabilities: (N,) P(success), at least one.
        doubt: largest share of wrong verdicts among those that are given, in (0, 1).
    """
    wrong = np.sort(np.minimum(probabilities, 1 - probabilities))
    given = int((np.cumsum(wrong) / np.arange(1, len(wrong) + 1) <= doubt).sum())
    if given == len(wrong):
        return 0.0
    edge = (wrong[given] + wrong[max(given - 1, 0)]) / 2
    return float(0.5 - edge)


def _carried_on(measured: Mapping[int, float], cameras: int) -> dict[int, float]:
    """The power law through the temperature of one camera that fits those of more best."""
    more = np.array([count for count in measured if count > 1])
    falls = -np.log([measured[count] / measured[1] for count in more])
    exponent = np.clip(np.log(more) @ falls / (np.log(more) @ np.log(more)), 0, 1) if len(more) else 0.0
    return {count: max(float(measured[1] * count**-exponent), _RANGE[0]) for count in range(1, cameras + 1)}


def _comparisons(margins: Floats, averaged: Floats, weights: Floats, count: int) -> Iterator[tuple[Floats, Flags]]:
    """Margins of `count` cameras, and the side of the others, each about its own gap between two heaps."""
    cameras = margins.shape[1]
    for start in range(cameras):
        chosen = [(start + k) % cameras for k in range(count)]
        others = [camera for camera in range(cameras) if camera not in chosen] or chosen
        one, other = fused(margins[:, chosen], weights[chosen]), fused(averaged[:, others], weights[others])
        both = np.isfinite(one) & np.isfinite(other)
        if both.any():
            yield one[both] - split(one[both]).threshold, other[both] > split(other[both]).threshold


def _loss(chances: Floats, sides: Flags) -> Floats:
    """Mean log loss (T,) of chances (T, N)."""
    safe = np.clip(chances, 1e-9, 1 - 1e-9)
    return np.asarray(-(np.log(safe) @ sides + np.log1p(-safe) @ ~sides) / len(sides))
