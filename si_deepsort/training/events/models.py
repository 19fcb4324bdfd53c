"""
How the bundled `events-unet` was made: `python -m si_deepsort.training.events.models --help`.

First on simulated traces alone (`--out` without `--noise`), then some more epochs in which a third of the traces are
simulated events on real, permissively licensed whole-cell noise (`--start-from`, `--noise`).
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import torch

from ...events.prepare import MODEL_RATE
from ...events.simulate import event_free_noise
from ...fit import FitSettings, fit
from ...nets.event_unet import EventUNet, EventUNetConfig
from ...settings import Settings, setting
from ...zoo import ModelInfo, load_model, save_model
from .traces import simulated_batches

# An event is reported where it is more likely than not. Slope and offset (`events.confidence.Calibration`): logistic
# regression of the truth on the log odds of the bundled network, on generated development recordings (seeds 1-3) of
# several makers, among them all preparations of benchmarks/events/other_maker.py and both presets of `simulate_events`.
# With the agreement of candidates with the mean event (`events.agreement`), the same on seeds 1-8 and 1-4.
DETECTION_SETTINGS = {
    "threshold": 0.5,
    "slope": 2.1,
    "offset": -2.65,
    "with_agreement": {"slope": 1.17, "offset": -10.1, "agreement": 1.91},
}


@dataclass(frozen=True, kw_only=True)
class EventModelSettings(Settings):
    """The making of a bundled model."""

    num_epochs: int = setting(12, "Passes", minimum=1)
    num_traces: int = setting(250, "Simulated traces of 10 s in each pass, new ones each time", minimum=1)
    learning_rate: float = setting(3e-3, "Highest learning rate", minimum=0.0)
    seed: int = setting(0, "Random seed")


def event_loss(net: torch.nn.Module, batch) -> torch.Tensor:
    """Binary cross-entropy of both outputs; the rarer onset counts more. Frames of label -1 are skipped."""
    windows, labels = batch
    losses = torch.nn.functional.binary_cross_entropy_with_logits(net(windows), labels.clamp(min=0), reduction="none")
    losses = losses * (labels >= 0)
    return losses[:, 0].mean() + 5.0 * losses[:, 1].mean()


def make_event_model(settings: EventModelSettings, *, real_noise=(), start_from=None, checkpoint_folder=None):
    """
    Train an `EventUNet` on simulated traces.

    Parameters
    ----------
    settings : EventModelSettings
    real_noise : sequence of np.ndarray, shape (num_frames,)
        Event-free noise at the network's rate; a third of the traces are made on it.
    start_from : EventUNet | None, default: None
    checkpoint_folder : path | None, default: None

    Returns
    -------
    net : EventUNet
    history : list of dict
    """
    torch.manual_seed(settings.seed)
    net = start_from or EventUNet(EventUNetConfig(widths=(16, 24, 32, 40, 48)))
    validation = list(simulated_batches(settings.seed + 10_000_000, num_traces=24, real_noise=real_noise))

    def training_batches(epoch):
        seed = settings.seed + 1_000 * (epoch + 1)
        return simulated_batches(seed, num_traces=settings.num_traces, real_noise=real_noise)

    fit_settings = FitSettings(
        num_epochs=settings.num_epochs,
        learning_rate=settings.learning_rate,
        weight_decay=1e-4,
        patience=settings.num_epochs,
        seed=settings.seed,
    )
    history = fit(
        net,
        event_loss,
        training_batches,
        lambda: validation,
        fit_settings,
        checkpoint_folder=checkpoint_folder,
        label="events",
    )
    return net, history


def whole_cell_noise(path: str | Path, leave_out: tuple[int, ...] = ()) -> list[np.ndarray]:
    """
    Event-free noise of the four training traces of Winchester_EVENTER, at the network's rate.

    Parameters
    ----------
    path : path
        The file `train.npz`.
    leave_out : tuple of int
        Traces (1 to 4) that must not be used.

    Returns
    -------
    list of np.ndarray, shape (num_frames,), float
    """
    with np.load(path) as content:
        factor = round(float(content["fs"]) / MODEL_RATE)
        noises = []
        for index in {1, 2, 3, 4} - set(leave_out):
            trace = content[f"Train{index}_trace_pA"].astype(float)
            trace = scipy.signal.resample_poly(trace, 1, factor, padtype="line")
            onsets = content[f"Train{index}_event_samples"] // factor
            noises.append(event_free_noise(trace, onsets, before=20, after=400))
    return noises


def main(arguments=None):
    """Train and save a bundled model."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the model")
    parser.add_argument("--noise", help="train.npz of Winchester_EVENTER, for real noise")
    parser.add_argument("--leave-out", type=int, nargs="*", default=(), help="traces of it that must not be used")
    parser.add_argument("--start-from", help="model folder to start from")
    for name in ("num-epochs", "num-traces", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(EventModelSettings(), name.replace("-", "_")))
    parser.add_argument("--learning-rate", type=float, default=EventModelSettings().learning_rate)
    options = parser.parse_args(arguments)
    settings = EventModelSettings(
        num_epochs=options.num_epochs,
        num_traces=options.num_traces,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    noise = whole_cell_noise(options.noise, tuple(options.leave_out)) if options.noise else ()
    start_from = load_model(options.start_from) if options.start_from else None
    net, history = make_event_model(
        settings, real_noise=noise, start_from=start_from, checkpoint_folder=Path(options.out) / "checkpoint"
    )
    print("\n".join(map(str, history)))
    info = ModelInfo(
        name=Path(options.out).name,
        task="events",
        sampling_frequency=MODEL_RATE,
        training=dict(
            command="python -m si_deepsort.training.events.models " + " ".join(arguments or sys.argv[1:]),
            seed=settings.seed,
            data="simulated events"
            + (" on simulated noise and on real whole-cell noise (Winchester_EVENTER)" if options.noise else ""),
            data_license="BSD-3-Clause (Winchester_EVENTER noise), else generated" if options.noise else "generated",
        ),
        metrics=dict(validation_loss=min(row["validation_loss"] for row in history)),
        settings=DETECTION_SETTINGS,
    )
    save_model(net, options.out, info)


if __name__ == "__main__":
    main()
