"""Load a classifier of known units."""

from os import PathLike

from ..nets.classifier import CNNClassifier, GRUClassifier, WaveformClassifier
from ..nets.network import Network
from ..zoo import load_network


def load_classifier(classifier: str | PathLike | Network) -> WaveformClassifier:
    """
    Load a classifier of known units by folder or name, or check that a network is one.

    Raises
    ------
    ValueError
        If there is no such model, or it is no classifier of known units.
    """
    remedy = "Make one with si_deepsort.train_classifier(recording, sorting, folder=...)."
    net = load_network(classifier, (CNNClassifier, GRUClassifier), purpose="known units", remedy=remedy)
    if net.info is None or "unit_ids" not in net.info.settings:
        raise ValueError(f"The classifier does not know which units it was trained on. {remedy}")
    return net
