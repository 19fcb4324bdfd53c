"""A score on held-out data, beside that of a simple method, which needs no training."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """
    How good a trained network is on data that it did not learn from, and how good a simple method is there.

    Attributes
    ----------
    measure : str
        What was measured, such as "F1".
    value, default : float
        The network's, and that of the simple method.
    default_name : str
        What the simple method is, such as "energy alone".
    higher_is_better : bool, default: True
    details : str, default: ""
        More about the network, shown in brackets.
    """

    measure: str
    value: float
    default: float
    default_name: str
    higher_is_better: bool = True
    details: str = ""

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "as good": the last where the numbers that are shown do not differ."""
        if _shown(self.value) == _shown(self.default):
            return "as good"
        return "better" if (self.value > self.default) == self.higher_is_better else "worse"

    def __str__(self) -> str:
        relation = {"better": "better than", "worse": "worse than", "as good": "as good as"}[self.verdict]
        details = f" ({self.details})" if self.details else ""
        direction = "" if self.higher_is_better else "; lower is better"
        return (
            f"{self.measure} {_shown(self.value)}{details}, {relation} the simple method, {self.default_name}: "
            f"{_shown(self.default)}{direction}"
        )


def _shown(value: float) -> str:
    return f"{value:z.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"
