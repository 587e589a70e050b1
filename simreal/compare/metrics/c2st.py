"""Classifier two-sample test: the held-out accuracy of a logistic regression.

A logistic regression with a ridge is fitted to half of the groups of each side and judged on the
other half; the value is its balanced accuracy there (Lopez-Paz and Oquab 2017). For a shift of δ
standard deviations the best possible accuracy is Φ(δ/2). `c2st_auc` reads the same fit by its
ranking. The test shuffles labels in the held-out half, the classifier fixed.

**Bias.** .5 on average between samples of one population at any n, with a spread of 1/√(4 n) for
n held-out objects; where populations differ it is below what the best classifier would reach,
the more so the fewer objects it learns from.

**Failure cases.** Linear: blind to a difference of widths or shapes around the same mean (the
MLP version sees those). Half the objects are spent on learning, so it has less power than a
kernel test. A count, so it has ties: small samples have few possible p-values.
"""

import numpy as np

from simreal.compare.classifier import HeldOutClassifier, accuracy, learn_logistic
from simreal.compare.contract import MetricMeta, Points, value_between

META = MetricMeta(
    title="held-out accuracy, logistic",
    summary="classifier two-sample test: held-out accuracy of a logistic regression",
    zero_point="0.5 on average",
    minimum_groups=20,
    estimand="expectation at this n",
    bounds=(0.0, 1.0),
    citation="Lopez-Paz and Oquab 2017, arXiv:1610.06545",
)

#: What the number means, and what the other one does.
NOTE = (
    "balanced accuracy of a ridge logistic regression on the half of each side it was not fitted "
    "to; c2st_auc is the chance that the same fit ranks a simulated object above an observed one"
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the held-out accuracy between two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 2))
    >>> statistic(x, x + 9, rng=np.random.default_rng(0))
    1.0
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> HeldOutClassifier:
    """Fix the order that decides which half is learned from."""
    return HeldOutClassifier.of(pooled, learn=learn_logistic, judge=accuracy, note=NOTE, rng=rng)
