"""Classifier two-sample test: the held-out AUC of a small neural network.

As `simreal.compare.metrics.c2st_auc` with two hidden layers of 64 units (ReLU, Adam, 60 epochs,
weight decay 0.01) in place of the logistic regression: it sees widths, shapes and clusters, not
only shifts. Seconds to minutes, so only on request.

**Bias.** .5 on average between samples of one population at any n, with a spread of
√((n + 1) / (3 n²)) for n held-out objects; where populations differ it is below what the best
classifier would reach, the more so the fewer objects it learns from.

**Failure cases.** With a few hundred objects it learns less of a plain shift than the logistic
regression. The value depends on the initial weights (fixed); the test stays exact.
"""

import numpy as np

from simreal.compare.classifier import HeldOutClassifier, MlpLearner, auc
from simreal.compare.contract import MetricMeta, Points, value_between

META = MetricMeta(
    title="held-out AUC, neural network",
    summary="classifier two-sample test: held-out AUC of a small neural network",
    zero_point="0.5 on average",
    minimum_groups=20,
    estimand="expectation at this n",
    cost="heavy",
    on_request=True,
    bounds=(0.0, 1.0),
    citation="Lopez-Paz and Oquab 2017, arXiv:1610.06545",
)

#: What the number means, and what the other one does.
NOTE = (
    "chance that a neural network (64 + 64 units) ranks a simulated above an observed object, on "
    "the half of each side it was not fitted to; its accuracy would be the share it calls rightly"
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the held-out AUC between two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 2))
    >>> statistic(x, x + 9, rng=np.random.default_rng(0))
    1.0
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> HeldOutClassifier:
    """Fix the order that decides which half is learned from."""
    return HeldOutClassifier.of(pooled, learn=MlpLearner(), judge=auc, note=NOTE, rng=rng)
