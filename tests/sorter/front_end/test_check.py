"""Recordings that cannot be sorted are refused with a message that says what to do."""

import numpy as np
import pytest
from small_recording import as_recording, line_probe, small_traces

from si_deepsort.sorter.front_end import check


def test_two_contacts_at_the_same_place(monkeypatch):
    """Probeinterface refuses such a probe; recordings of other origin may have one."""
    locations = line_probe(4).contact_positions
    locations[2] = locations[1]
    monkeypatch.setattr(check, "recording_geometry", lambda recording: (locations, np.zeros(4, int)))
    with pytest.raises(ValueError, match=r"Channels 1, 2 have the same location.*remove_channels"):
        check.check_recording(as_recording(small_traces(duration_s=2.0)[0]))
