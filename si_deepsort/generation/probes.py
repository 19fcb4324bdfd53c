"""Probe layouts by name."""

import numpy as np
from probeinterface import Probe, generate_linear_probe, generate_multi_columns_probe, generate_tetrode


def named_probe(name: str) -> Probe:
    """
    A probe layout by name.

    Parameters
    ----------
    name : "single" | "tetrode" | "linear32" | "neuropixels1" | "neuropixels2" | "four_shanks"
        neuropixels1 and neuropixels2 are 64 contacts of the probe of that name; four_shanks is 4 x 16 contacts.

    Returns
    -------
    Probe
    """
    makers = {
        "single": lambda: generate_linear_probe(1),
        "tetrode": generate_tetrode,
        "linear32": lambda: generate_linear_probe(32, ypitch=25.0),
        "neuropixels1": lambda: _neuropixels1(64),
        "neuropixels2": lambda: generate_multi_columns_probe(2, 32, xpitch=32.0, ypitch=15.0),
        "four_shanks": _four_shanks,
    }
    if name not in makers:
        raise ValueError(f"Unknown probe layout '{name}', expected one of {sorted(makers)}.")
    probe = makers[name]()
    probe.set_device_channel_indices(np.arange(probe.get_contact_count()))
    return probe


def _neuropixels1(num_contacts: int) -> Probe:
    rows = np.arange(num_contacts) // 2
    x = np.where(np.arange(num_contacts) % 2 == 0, 16.0, 48.0) - 16.0 * (rows % 2)
    probe = Probe(ndim=2)
    probe.set_contacts(np.stack([x, 20.0 * rows], axis=1), shapes="square", shape_params={"width": 12})
    probe.create_auto_shape()
    return probe


def _four_shanks() -> Probe:
    probe = Probe(ndim=2)
    contact = np.arange(64)
    shank, row, column = contact // 16, contact % 16 // 2, contact % 2
    positions = np.stack([250.0 * shank + 32.0 * column, 15.0 * row], axis=1)
    probe.set_contacts(positions, shapes="square", shape_params={"width": 12}, shank_ids=shank.astype(str))
    return probe
