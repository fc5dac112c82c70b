"""Intervals of a mean over runs that differ by their seed: they are to hold for other seeds and for other test rows.

The variance of the mean has two parts that are estimated apart. What runs of several seeds have in common, and would all gain or lose
with other test rows, is the covariance of two seeds under resampling of the rows: many rows, so it is taken as known. All else, the
seed_variance of training and its interplay with the rows, shows in the spread of the seeds' values s, of which there are few:

    half width² = t² · s² / seeds + z² · covariance

Readers and cases are told apart in this way where diagnostic tests are compared (Obuchowski & Rockette 1995). That each part is
multiplied by the quantile of its own (t with seeds - 1 degrees of freedom, z of the normal distribution) is Banerjee's (1960) rule: for
normally distributed parts of any ratio the interval holds at least as often as it says. To resample few seeds does not do: the
percentile interval of two or three is far too narrow.

The spread of few seeds can also be small by seed_variance, smaller than the rows alone make it. So the interval is never within that over
test rows of the mean of these very runs: what does not hold for them on other rows does not hold.
"""

import math

import numpy as np
from scipy import special

from mtl.evaluation.bootstrap import Array, interval


def over_seeds(values: Array, draws: Array, confidence: float) -> tuple[float, float]:
    """The interval of the mean of a score or difference.

    With one seed it is the percentile interval over test rows single_task: the variance over training seeds is not in it.

    Args:
        values: ``[seeds]`` on the whole test split.
        draws: ``[seeds, resamples]`` on resampled test rows, the same for all seeds.
    """
    low, high = interval(draws.mean(0), confidence)
    if len(values) == 1:
        return low, high
    upper = (1 + confidence) / 2
    seed_variance = special.stdtrit(len(values) - 1, upper) ** 2 * values.var(ddof=1) / len(values)
    rows = special.ndtri(upper) ** 2 * shared_variance(draws)
    half = math.sqrt(seed_variance + rows)
    return min(low, float(values.mean() - half)), max(high, float(values.mean() + half))


def shared_variance(draws: Array) -> float:
    """The mean covariance of two seeds over resamples of the rows; not below 0."""
    seeds = len(draws)
    covariance = np.cov(draws)
    return max(0.0, float(covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1)))
