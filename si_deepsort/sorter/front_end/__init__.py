"""
Front end of the sorter: from a recording to cached white traces.

In the order of the flow:

- `check`: refuse recordings that cannot be sorted.
- `whitening`: band-pass, line noise, common reference, motion correction and whitening, all lazy.
- `line_noise`: find line noise, subtract it, and tell which.
- `motion`: find drift of the tissue, by the depths of peaks (`source_depths`).
- `cache`: compute the white traces once and keep them.
- `noise_over_time`: how loud the noise of the white traces is at each time, and on which channels.
- `blanks`: say how much is blanked, and find the units that live beside blanks alone.

The lazy recordings themselves, and the blanking of artefacts, are in `si_deepsort.preprocessing`.
"""
