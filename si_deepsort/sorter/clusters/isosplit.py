"""
Isosplit: clusters whose projections have one peak each, without a scale or a number of clusters to choose.

Magland & Barnett (2015), arXiv:1508.04841. Many small clusters are merged pair by pair, the closest first. Two clusters
are one if their points, projected on the line between them, have a density with a single peak. Otherwise the points are
cut where the density is lowest, and each side gets its points.

SpikeInterface's version compiles for most of a minute when it is used for the first time. Here only the loops over
points on a line are compiled. The statistic and the cut are the same; there, points on the wrong side of a cut stay
where they are (0.105), because the sides are exchanged.
"""

import warnings

import numba
import numpy as np
from scipy.cluster.vq import kmeans2

from ...compiled import COMPILED

# Most rounds of comparisons of each pass; without a limit, two clusters could exchange points forever.
MOST_ITERATIONS = 500
# Fewest gaps between points in which the two distributions are compared. Fewer say nothing.
FEWEST_GAPS = 4
# Smallest gap between two points, relative to the range of all: equal points have no gap, and no finite density.
SMALLEST_GAP = 1e-12
# Smallest number that is divided by.
TINY = np.finfo(float).tiny
# Variance that is added in all directions, relative to the mean variance, so that the covariance can be inverted.
RIDGE = 1e-9


def isosplit(
    points: np.ndarray,
    *,
    num_initial: int,
    min_size: int,
    threshold: float,
    seed: int,
    max_iterations: int = MOST_ITERATIONS,
) -> np.ndarray:
    """
    Cluster points.

    Parameters
    ----------
    points : np.ndarray, shape (num_points, num_dimensions), float
    num_initial : int
        Number of clusters from which merging starts.
    min_size : int
        Smaller clusters are merged with the closest one.
    threshold : float
        Two clusters are one if the statistic of `cut_of_projection` is smaller.
    seed : int
        Seed of the initial clusters.
    max_iterations : int, default: MOST_ITERATIONS
        Most rounds of comparisons in a pass.

    Returns
    -------
    np.ndarray, shape (num_points,), int
        Cluster 0, 1, ... of each point.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        labels = kmeans2(points, min(num_initial, len(points)), minit="points", seed=seed, check_finite=False)[1]
    clusters = _Clusters(points, np.unique(labels, return_inverse=True)[1], min_size, threshold)
    has_merged = False
    while True:
        had_merged, has_merged = has_merged, clusters.compare_all(max_iterations)
        # After the last merge one more pass moves points between the clusters that remain.
        if not has_merged and not had_merged:
            return np.unique(clusters.labels, return_inverse=True)[1]


class _Clusters:
    """Clusters with their centers and covariances, and which of them have been compared."""

    def __init__(self, points, labels, min_size, threshold):
        self.points, self.labels, self.min_size, self.threshold = points, labels, min_size, threshold
        num_clusters, num_dimensions = labels.max() + 1, points.shape[1]
        self.members = [np.flatnonzero(labels == label) for label in range(num_clusters)]
        self.centers = np.empty((num_clusters, num_dimensions))
        self.covariances = np.empty((num_clusters, num_dimensions, num_dimensions))
        self.exists = np.ones(num_clusters, dtype=bool)
        self.compared = np.eye(num_clusters, dtype=bool)
        self._measure(range(num_clusters))

    def _measure(self, labels):
        for label in labels:
            own = self.points[self.members[label]]
            self.centers[label] = own.mean(axis=0)
            centered = own - self.centers[label]
            self.covariances[label] = centered.T @ centered / len(own)

    def compare_all(self, max_iterations) -> bool:
        """Compare pairs until each has been compared; returns whether some have been merged."""
        has_merged, changed = False, set()
        for _ in range(max_iterations):
            pairs = self._closest_pairs()
            if len(pairs) == 0:
                break
            changed_now = set()
            for first, second in pairs:
                self.compared[[first, second], [second, first]] = True
                side = self._side(first, second)
                if side is None:
                    self._merge(first, second)
                    changed_now.add(first)
                    has_merged = True
                elif self._exchange(first, second, side):
                    changed_now |= {first, second}
            self._measure(changed_now)
            changed |= changed_now
        # Clusters that have changed are compared again in the next pass.
        again = np.zeros(len(self.exists), dtype=bool)
        again[list(changed)] = True
        self.compared[again[:, None] | again] = False
        self.compared |= np.eye(len(again), dtype=bool) | ~self.exists[:, None] | ~self.exists
        return has_merged

    def _closest_pairs(self):
        """Pairs of clusters, each the other's closest among those that it has not been compared with."""
        distances = np.linalg.norm(self.centers[:, None] - self.centers, axis=2)
        distances[self.compared] = np.inf
        closest, labels = distances.argmin(axis=1), np.arange(len(distances))
        is_pair = (closest[closest] == labels) & (labels < closest) & (distances[labels, closest] < np.inf)
        return np.column_stack([labels, closest])[is_pair].tolist()

    def _side(self, first, second):
        """Whether each point of the first, then of the second cluster, is on the second's side; None to merge both."""
        if min(len(self.members[first]), len(self.members[second])) < self.min_size:
            return None
        covariance = (self.covariances[first] + self.covariances[second]) / 2
        covariance.flat[:: len(covariance) + 1] += RIDGE * np.trace(covariance) / len(covariance)
        try:
            line = np.linalg.solve(covariance, self.centers[second] - self.centers[first])
        except np.linalg.LinAlgError:
            return None
        length = np.linalg.norm(line)
        if not 0 < length < np.inf:
            return None
        projection = self.points[np.concatenate([self.members[first], self.members[second]])] @ (line / length)
        statistic, cut = cut_of_projection(projection)
        return None if statistic < self.threshold else projection >= cut

    def _merge(self, first, second):
        self.members[first] = np.concatenate([self.members[first], self.members[second]])
        self.labels[self.members[second]] = first
        self.exists[second] = False
        self.compared[second, :] = self.compared[:, second] = True

    def _exchange(self, first, second, side) -> bool:
        """Give each cluster the points on its side; returns whether any has moved."""
        ones, others = self.members[first], self.members[second]
        num_moved = np.array([np.count_nonzero(side[: len(ones)]), np.count_nonzero(~side[len(ones) :])])
        # Two clusters that would rather swap their points stay as they are.
        if not num_moved.any() or num_moved[0] / len(ones) + num_moved[1] / len(others) >= 1:
            return False
        both = np.concatenate([ones, others])
        self.members[first], self.members[second] = np.sort(both[~side]), np.sort(both[side])
        self.labels[self.members[first]], self.labels[self.members[second]] = first, second
        return True


def cut_of_projection(projection: np.ndarray) -> tuple[float, float]:
    """
    Test whether the density of points on a line has one peak, and find where to cut it otherwise.

    The logarithm of the density between neighbours is fitted by a sequence that first rises and then falls. On either
    side of its peak, the distribution of the points is compared with that of the fit.

    Parameters
    ----------
    projection : np.ndarray, shape (num_points,), float
        At least two points.

    Returns
    -------
    statistic : float
        Largest distance of the two distributions (Kolmogorov-Smirnov), times the square root of the number of points;
        from 1.5 to 2 on, there is more than one peak.
    cut : float
        Where the density is lowest compared to the fit.
    """
    projection = np.sort(projection)
    gaps = np.diff(projection)
    smallest = max(SMALLEST_GAP * (projection[-1] - projection[0]), TINY)
    log_density = -np.log(np.maximum(gaps, smallest))
    fit, fits, sizes = np.empty(len(gaps)), np.empty((4, len(gaps))), np.empty(len(gaps), dtype="int64")
    peak = _fit_one_peak(log_density, fit, fits, sizes)
    expected = np.exp(fit) * gaps
    totals = fits[0]
    left, left_end = _largest_distance(expected[: peak + 1], totals)
    right, right_end = _largest_distance(expected[peak:][::-1], totals)
    near = slice(0, left_end) if left > right else slice(len(gaps) - right_end, len(gaps))
    valley = np.empty(near.stop - near.start)
    _fit_one_peak(fit[near] - log_density[near], valley, fits, sizes)
    lowest = near.start + int(np.argmin(-valley))
    return max(left, right), (projection[lowest] + projection[lowest + 1]) / 2


@numba.njit(**COMPILED)
def _largest_distance(expected, totals):
    """
    Largest distance between the distribution of points and the expected one, from an end of the line up to the peak.

    It is sought in all of the gaps, in the half of them that is farthest from the peak, in a quarter and so on, so that
    a small cluster far out is not lost among many points. Also returns the number of gaps where it was found. `totals`
    is room for a number for each gap.
    """
    total = 0.0
    for place in range(len(expected)):
        total += expected[place]
        totals[place] = total
    largest, found, length = -np.inf, len(expected), len(expected)
    while length >= FEWEST_GAPS or length == len(expected):
        apart, all_of_them = 0.0, max(totals[length - 1], TINY)
        for place in range(length):
            apart = max(apart, abs((place + 1) / length - totals[place] / all_of_them))
        distance = apart * np.sqrt((length + totals[length - 1]) / 2)
        if distance > largest:
            largest, found = distance, length
        length //= 2
    return largest, found


@numba.njit(**COMPILED)
def _fit_one_peak(values, fit, fits, sizes):
    """
    Fill `fit` with the sequence that first rises and then falls and is closest to some values; return its peak.

    `fits`, of four rows, and `sizes` are room for as many numbers as there are values, or more.
    """
    num_values = len(values)
    rising, falling, backward, errors = fits[0], fits[1], fits[2], fits[3]
    for place in range(num_values):
        backward[place] = values[num_values - 1 - place]
    _pool(values, fit, rising, sizes)
    _pool(backward[:num_values], fit, falling, sizes)
    peak = 0
    for place in range(1, num_values):
        if rising[place] + falling[num_values - 1 - place] < rising[peak] + falling[num_values - 1 - peak]:
            peak = place
    _pool(values[:peak], fit, errors, sizes)
    for place in range(peak, num_values):
        backward[place] = -values[place]
    _pool(backward[peak:num_values], fit[peak:], errors, sizes)
    for place in range(peak, num_values):
        fit[place] = -fit[place]
    highest = 0
    for place in range(num_values):
        if fit[place] > fit[highest]:
            highest = place
    return highest


@numba.njit(**COMPILED)
def _pool(values, fit, errors, sizes):
    """Fill the fit and its errors; `sizes` is room for the sizes of pools."""
    num_pools, error = 0, 0.0
    for place in range(len(values)):
        mean, size = values[place], 1
        while num_pools > 0 and fit[num_pools - 1] >= mean:
            num_pools -= 1
            other, other_size = fit[num_pools], sizes[num_pools]
            error += (other - mean) ** 2 * size * other_size / (size + other_size)
            mean = (mean * size + other * other_size) / (size + other_size)
            size += other_size
        fit[num_pools], sizes[num_pools], errors[place] = mean, size, error
        num_pools += 1
    stop = len(values)
    for pool in range(num_pools - 1, -1, -1):
        # From the last pool on, so that means which are still needed are not overwritten.
        mean, start = fit[pool], stop - sizes[pool]
        for place in range(start, stop):
            fit[place] = mean
        stop = start
