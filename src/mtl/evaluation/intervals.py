"""Intervals of a mean over runs that differ by their seed. They hold for other seeds and for other test rows.

The variance of the mean has two parts, which are estimated separately. One is shared by the runs of all seeds: with other test rows all of
them would gain or lose together. It is the covariance of two seeds under resampling of the rows. There are many rows, so it is treated as
known. The other is the variance over training seeds and its interaction with the rows. It is estimated from the standard deviation s of
the seeds' values, of which there are few:

    half width² = t² · s² / seeds + z² · covariance

Comparisons of diagnostic tests separate readers and cases in this way (Obuchowski & Rockette 1995). Each part has its own quantile: t with
seeds - 1 degrees of freedom, and z of the normal distribution. This is Banerjee's (1960) rule: for normally distributed parts of any ratio
the interval holds at least as often as it states. The hierarchical bootstrap is unreliable with few seeds: the percentile interval of two
or three is far too narrow.

The standard deviation of few seeds can by chance be smaller than the variance over test rows implies. So the interval always contains the
one of the mean of these very runs over test rows: what does not hold for them on other rows does not hold.
"""

import math

import numpy as np
from scipy import special

from mtl.evaluation.bootstrap import Array, interval_about


def over_seeds(values: Array, draws: Array, confidence: float) -> tuple[float, float]:
    """The interval of the mean of a score or difference.

    With one seed it is the percentile interval over test rows only: it does not contain the variance over training seeds.

    Args:
        values: ``[seeds]`` on the whole test split.
        draws: ``[seeds, resamples]`` on resampled test rows, the same for all seeds.
    """
    low, high = interval_about(float(values.mean()), draws.mean(0), confidence)
    if len(values) == 1:
        return low, high
    upper = (1 + confidence) / 2
    over_training = special.stdtrit(len(values) - 1, upper) ** 2 * values.var(ddof=1) / len(values)
    over_rows = special.ndtri(upper) ** 2 * shared_variance(draws)
    half = math.sqrt(over_training + over_rows)
    return min(low, float(values.mean() - half)), max(high, float(values.mean() + half))


def shared_variance(draws: Array) -> float:
    """The mean covariance of two seeds over resamples of the rows; not below 0."""
    seeds = len(draws)
    covariance = np.cov(draws)
    return max(0.0, float(covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1)))
