"""
How far to trust a sorting: expected precision and recall of each unit, a probability for each spike, what was missed.

- `assess.py`: `assess` for any sorting, and the same on white traces that exist already;
- `white_traces.py`, `stretches.py`: what is read of a recording;
- `templates.py`: templates in white traces, and similar units;
- `explain.py`: traces as a sum of spikes;
- `judge_spikes.py`: single spikes against everything else that could explain them;
- `residual_events.py`: what is left over;
- `evidence.py`: all of it for one sorting;
- `trains.py`: refractory violations, coincidences, presence;
- `spike_statistics.py`, `features.py`, `predict.py`: what the network sees, and what it says;
- `missed.py`: missed neurons;
- `reasons.py`: the same in words;
- `assessment.py`: the result.
"""

from .assess import assess
from .assessment import Assessment

__all__ = ["Assessment", "assess"]
