"""What a unit's own past says: the baseline that needs no field potential at all."""

import numpy as np

from .features import FeatureTable
from .targets import PairedBins


def history_of(paired: PairedBins, output, *, longest_s: float = 1.0, with_features: bool = False) -> PairedBins:
    """
    One output with its own past as features, or its past beside the field potential.

    Parameters
    ----------
    paired : PairedBins
    output
        One of `paired.output_names`.
    longest_s : float, default: 1.0
        Past that is used, in windows whose width doubles: the last bin, the 2 before it, the 4 before those, ...
    with_features : bool, default: False
        Keep the features of the field potential too, which shows what they add.

    Returns
    -------
    PairedBins
        With a single output. Its prediction needs the real past, so it is a baseline, not a use.
    """
    if output not in paired.output_names:
        raise ValueError(f"Unknown output {output!r}; expected one of {paired.output_names}.")
    counts = paired.counts[:, paired.output_names.index(output)]
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=float)])
    columns, names, start, width = [], [], 1, 1
    while start * paired.bin_s <= longest_s:
        now = np.arange(len(counts))
        newest, oldest = np.maximum(now - start + 1, 0), np.maximum(now - start - width + 1, 0)
        columns.append(total[newest] - total[oldest])
        names.append((None, "history", f"{start} to {start + width - 1} bins ago"))
        start, width = start + width, 2 * width
    values = np.stack(columns, axis=1).astype(np.float32)
    table = paired.features
    if with_features:
        values, names = np.concatenate([values, table.values], axis=1), names + table.names
    reach = max(table.reach_s if with_features else 0.0, longest_s)
    features = FeatureTable(values, names, table.start_s, table.bin_s, reach)
    return PairedBins(features, counts[:, None], [output], paired.labels)
