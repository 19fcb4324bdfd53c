"""How much more a detector finds than the best of others, in each bin of SNR, with an interval over units."""

import numpy as np

# Resamplings of the units from which an interval is taken, and the part of them that lies inside.
NUM_RESAMPLINGS, INSIDE = 4000, 0.95


def against_best(units: dict[tuple, np.ndarray], own: list[str]) -> list[dict]:
    """
    Compare each own detector, second peaks dropped, with the best of the others in each bin.

    The others are taken as they come, and with second peaks dropped. Thresholds stay as they are; units are drawn.

    Parameters
    ----------
    units : dict of np.ndarray, shape (3, num_units)
        Of each front end, detector, and whether second peaks are kept: bin, number of spikes, and number found of the
        same units in the same order.
    own : list of str
        Names of the detectors that are compared.

    Returns
    -------
    list of dict
    """
    rows = []
    for model, second in ((model, second) for model in own for second in (True, False)):
        mine = units["whitened", model, False]
        others = {key: found for key, found in units.items() if key[1] not in own and key[2] == second}
        if not second:
            others = {key: found for key, found in units.items() if key[1] not in own}
        rng = np.random.default_rng(0)
        for number in range(int(mine[0].max(initial=0)) + 1):
            chosen = np.flatnonzero(mine[0] == number)
            if not len(chosen):
                continue
            best = max(others, key=lambda key: others[key][2, chosen].sum())
            drawn = rng.integers(0, len(chosen), (NUM_RESAMPLINGS, len(chosen)))
            more, total = (mine[2] - others[best][2])[chosen], mine[1, chosen]
            spread = more[drawn].sum(axis=1) / np.maximum(total[drawn].sum(axis=1), 1)
            low, high = np.quantile(spread, [(1 - INSIDE) / 2, (1 + INSIDE) / 2])
            rows.append(
                dict(
                    detector=model,
                    others="as they come" if second else "also with second peaks dropped",
                    bin=number,
                    num_units=len(chosen),
                    best=f"{best[1].split(',')[0]}, {best[0]}{'' if best[2] else ', dropped'}",
                    more=round(float(more.sum() / max(total.sum(), 1)), 4),
                    interval=[round(float(low), 4), round(float(high), 4)],
                )
            )
    return rows


def margins_table(rows: list[dict], bins: list[str]) -> dict:
    """The rows as a table of the docs."""
    return dict(
        columns=["detector", "others", "SNR", "units", "best other", "recall, difference", "95 % interval"],
        rows=[
            [
                row["detector"],
                row["others"],
                bins[row["bin"]],
                row["num_units"],
                row["best"],
                row["more"],
                f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            ]
            for row in rows
        ],
        caption="Recall of a network, second peaks dropped, minus that of the best other detector in each bin.",
    )
