"""Events of a maker that no network was trained on: found, and marked as others mark them. See `other_maker.py`."""

import functools
import itertools
import os
from pathlib import Path

import numpy as np
import scipy.signal
from event_peers import PEERS, Template
from event_scores import network_method, pooled, tuned_peer
from other_maker import PREPARATIONS, make_recording

from si_deepsort.events.matching import match_events
from si_deepsort.events.prepare import resampling_factors
from si_deepsort.events.simulate import event_free_noise
from si_deepsort.training.events.train import train_events

DATA = Path(os.environ.get("SI_DEEPSORT_DATA", "../shared/data"))
# Seeds 1 to 20 served development; nobody looked at these before.
OTHER_SEEDS, OTHER_TUNING_SEEDS, LEARNING_SEEDS = range(201, 207), (190, 191), (195, 196, 197)
# More recordings of the preparation that is hardest, so that its F1 is known to a hundredth.
MORE_SEEDS, HARDEST = range(301, 341), "receptor currents"
# Edges of sizes in which recall is given, in standard deviations of the noise.
SIZES = (2.5, 3.0, 4.0, 6.0, np.inf)
# Preparations from whose marks the network learns: one of potentials and one of currents.
LEARNT_PREPARATIONS = ("end-plate potentials", "receptor currents")
REAL_NOISE = "receptor currents on real noise"


def other_maker():
    """Every preparation: the bundled network with its own threshold, and peers tuned on two recordings of the maker."""
    noise = real_noise()
    results = {}
    for kind in [*PREPARATIONS] + ([REAL_NOISE] if noise is not None else []):
        tests = [make(kind, seed, noise) for seed in OTHER_SEEDS]
        tuning = [make(kind, seed, noise) for seed in OTHER_TUNING_SEEDS]
        preparation = PREPARATIONS[preparation_of(kind)]
        up, down = resampling_factors(preparation.rate)
        template = Template(*preparation.kinetics_ms, preparation.rate * up / down)
        options = dict(polarity=preparation.direction, end="decay_constant")
        network = network_method("events-unet", **options)
        results[kind] = {"events-unet": pooled(network, tests) | recall_by_size(network, tests)}
        for name in PEERS:
            results[kind][name] = pooled(tuned_peer(name, tuning, template, preparation.direction), tests)
    return results


def learnt_marks():
    """`train_events` from three marked traces whose marks are earlier and shorter than ours, on traces of others."""
    results = {}
    for kind in LEARNT_PREPARATIONS:
        preparation = PREPARATIONS[kind]
        marked = [as_marked(*make_recording(kind, seed)) for seed in LEARNING_SEEDS]
        tests = [as_marked(*make_recording(kind, seed)) for seed in OTHER_SEEDS]
        net = train_events(*map(list, zip(*marked, strict=True)), polarity=preparation.direction).net
        before = pooled(network_method("events-unet", polarity=preparation.direction), tests)
        after = pooled(network_method(net, polarity=preparation.direction), tests)
        results[kind] = dict(before=before, after=after, learnt=net.info.settings)
    return results


def more_currents():
    """The hardest preparation in many recordings: with the defaults, and learnt from three marked traces."""
    preparation = PREPARATIONS[HARDEST]
    marked = [as_marked(*make_recording(HARDEST, seed)) for seed in LEARNING_SEEDS]
    net = train_events(*map(list, zip(*marked, strict=True)), polarity=preparation.direction).net
    tests = [as_marked(*make_recording(HARDEST, seed)) for seed in MORE_SEEDS]
    results = {}
    for name, model in (("events-unet", "events-unet"), ("learnt", net)):
        method = functools.cache(network_method(model, polarity=preparation.direction))
        results[name] = pooled(method, tests) | {"interval of f1": list(interval_of_f1(method, tests))}
    return results


def interval_of_f1(method, tests):
    """95 % interval of the pooled F1, from 2,000 resamples of the recordings."""
    counts = []
    for recording, truth in tests:
        found = method(recording)[0]
        counts.append((len(truth), len(found), len(match_events(truth["onset_s"], found))))
    chosen = np.random.default_rng(0).integers(0, len(counts), (2000, len(counts)))
    num_true, num_found, num_matched = np.array(counts)[chosen].sum(axis=1).T
    return np.percentile(2 * num_matched / (num_true + num_found), [2.5, 97.5]).tolist()


def as_marked(recording, truth):
    """Marks from the release to one decay constant after the peak."""
    return recording, truth[["onset_s", "end_s"]]


def recall_by_size(method, tests):
    """Part of the events that are found, by their size in standard deviations of the noise."""
    counts = np.zeros((2, len(SIZES) - 1))
    for recording, truth in tests:
        pairs = match_events(truth["onset_s"], method(recording)[0])
        counts[0] += np.histogram(truth["size"], SIZES)[0]
        counts[1] += np.histogram(truth["size"].iloc[pairs[:, 0]], SIZES)[0]
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(SIZES)]
    return dict(
        recall_by_size={
            name: dict(num_true=int(num_true), recall=float(num_found / num_true) if num_true else None)
            for name, num_true, num_found in zip(names, *counts, strict=True)
        }
    )


def preparation_of(kind):
    return "receptor currents" if kind == REAL_NOISE else kind


def make(kind, seed, noise):
    return make_recording(preparation_of(kind), seed, noise if kind == REAL_NOISE else None)


def real_noise():
    """Noise of a whole-cell recording (Winchester_EVENTER) without its events, at 20 kHz; None where it is absent."""
    path = DATA / "eventer_mepsc" / "train.npz"
    if not path.exists():
        return None
    pieces = []
    with np.load(path) as content:
        factor = round(float(content["fs"]) / PREPARATIONS["receptor currents"].rate)
        for index in (1, 2, 3, 4):
            trace = content[f"Train{index}_trace_pA"].astype(float)
            trace = scipy.signal.resample_poly(trace, 1, factor, padtype="line")
            onsets = content[f"Train{index}_event_samples"] // factor
            pieces.append(event_free_noise(trace, onsets, before=40, after=800))
    return np.concatenate(pieces)


def other_maker_tables(results):
    """Tables of both parts, as far as they were measured."""
    keys = ("precision", "recall", "f1", "lowest_f1", "iou")
    rows = [
        [kind, method] + [f"{scores[key]:.3f}" for key in keys]
        for kind, methods in results.get("other_maker", {}).items()
        for method, scores in methods.items()
    ]
    columns = ["preparation", "method", "precision", "recall", "F1", "lowest F1", "IoU"]
    made = {
        "events-other-maker": dict(
            columns=columns,
            rows=rows,
            caption="A maker of traces that no network was trained on (`benchmarks/events/other_maker.py`), 6 x 30 s "
            "each, events from 2.5 noise standard deviations on, ends one decay constant after the peak. The classical "
            "methods are told the mean kinetics and tuned on two more recordings of this maker; the network is not.",
        )
    }
    rows = [
        [kind, *(_percent(size) for size in methods["events-unet"]["recall_by_size"].values())]
        for kind, methods in results.get("other_maker", {}).items()
    ]
    sizes = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(SIZES)]
    made["events-sizes"] = dict(
        columns=["recall of events-unet by size in noise standard deviations", *sizes],
        rows=rows,
        caption="The same traces. In brackets the number of events.",
    )
    rows = [
        [kind]
        + [f"{scores[state][key]:.3f}" for key in ("f1", "iou") for state in ("before", "after")]
        + [str(scores["learnt"]["end"]), f"{scores['learnt']['threshold']:g}"]
        for kind, scores in results.get("learnt", {}).items()
    ]
    many = []
    for name, scores in results.get("more_currents", {}).items():
        low, high = scores["interval of f1"]
        many.append(
            [name, *(f"{scores[key]:.3f}" for key in keys[:3]), f"{low:.3f} to {high:.3f}", f"{scores['iou']:.3f}"]
        )
    made["events-more-currents"] = dict(
        columns=["method", "precision", "recall", "F1", "95 % interval of F1", "IoU with the marks"],
        rows=many,
        caption=f"Receptor currents of the same maker in {len(MORE_SEEDS)} other recordings of 30 s: with the "
        "defaults, and after learning from three marked traces. The marks end one decay constant after the peak.",
    )
    made["events-learnt"] = dict(
        columns=["preparation", "F1", "F1 learnt", "IoU", "IoU learnt", "end learnt", "threshold learnt"],
        rows=rows,
        caption="`train_events` on three marked traces of 30 s, whose marks end one decay constant after the peak; "
        "measured on the six others, with the defaults of `segment_events` before.",
    )
    return made


def _percent(size):
    return "" if size["recall"] is None else f"{size['recall']:.2f} ({size['num_true']})"
