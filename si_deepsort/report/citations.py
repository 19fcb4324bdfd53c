"""What was done in the words of a methods section, and whom to cite, as text and as BibTeX."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reference:
    """
    A publication.

    Attributes
    ----------
    short : str
        As it is named in a sentence.
    text : str
        The whole reference.
    bibtex : str
    """

    short: str
    text: str
    bibtex: str


def _article(key: str, short: str, text: str, **entries: str) -> Reference:
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in entries.items())
    return Reference(short, text, f"@article{{{key},\n{lines}}}\n")


SPIKEINTERFACE = _article(
    "buccino2020spikeinterface",
    "Buccino et al. 2020",
    "Buccino et al. (2020). SpikeInterface, a unified framework for spike sorting. eLife 9:e61834.",
    author="Buccino, Alessio P. and Hurwitz, Cole L. and Garcia, Samuel and Magland, Jeremy and Siegle, Joshua H. and "
    "Hurwitz, Roger and Hennig, Matthias H.",
    title="{SpikeInterface}, a unified framework for spike sorting",
    journal="eLife",
    volume="9",
    pages="e61834",
    year="2020",
    doi="10.7554/eLife.61834",
)
ISOSPLIT = _article(
    "magland2015isosplit",
    "Magland and Barnett 2015",
    "Magland and Barnett (2015). Unimodal clustering using isotonic regression: ISO-SPLIT. arXiv:1508.04841.",
    author="Magland, Jeremy F. and Barnett, Alex H.",
    title="Unimodal clustering using isotonic regression: {ISO-SPLIT}",
    journal="arXiv:1508.04841",
    year="2015",
)
COLLISIONS = _article(
    "garcia2022collisions",
    "Garcia et al. 2022",
    "Garcia et al. (2022). How do spike collisions affect spike sorting performance? eNeuro 9(5).",
    author="Garcia, Samuel and Buccino, Alessio P. and Yger, Pierre",
    title="How do spike collisions affect spike sorting performance?",
    journal="eNeuro",
    volume="9",
    number="5",
    year="2022",
    doi="10.1523/ENEURO.0105-22.2022",
)
DREDGE = _article(
    "windolf2023dredge",
    "Windolf et al. 2023",
    "Windolf et al. (2023). DREDge: robust motion correction for high-density extracellular recordings across species. "
    "bioRxiv 2023.10.24.563768.",
    author="Windolf, Charlie and Yu, Han and Paulk, Angelique C. and others",
    title="{DREDge}: robust motion correction for high-density extracellular recordings across species",
    journal="bioRxiv",
    year="2023",
    doi="10.1101/2023.10.24.563768",
)
CUTOFF = _article(
    "hill2011quality",
    "Hill et al. 2011",
    "Hill, Mehta and Kleinfeld (2011). Quality metrics to accompany spike sorting. J. Neurosci. 31(24):8699.",
    author="Hill, Daniel N. and Mehta, Samar B. and Kleinfeld, David",
    title="Quality metrics to accompany spike sorting of extracellular signals",
    journal="Journal of Neuroscience",
    volume="31",
    number="24",
    pages="8699--8705",
    year="2011",
    doi="10.1523/JNEUROSCI.0971-11.2011",
)
PRESENCE = _article(
    "siegle2021survey",
    "Siegle et al. 2021",
    "Siegle et al. (2021). Survey of spiking in the mouse visual system reveals functional hierarchy. Nature 592:86.",
    author="Siegle, Joshua H. and Jia, Xiaoxuan and Durand, S{\\'e}verine and others",
    title="Survey of spiking in the mouse visual system reveals functional hierarchy",
    journal="Nature",
    volume="592",
    pages="86--92",
    year="2021",
    doi="10.1038/s41586-020-03171-x",
)
CONTAMINATION = _article(
    "llobet2022lussac",
    "Llobet et al. 2022",
    "Llobet, Wyngaard and Barbour (2022). Automatic post-processing and merging of multiple spike-sorting analyses "
    "with Lussac. bioRxiv 2022.02.08.479192.",
    author="Llobet, Victor and Wyngaard, Aur{\\'e}lien and Barbour, Boris",
    title="Automatic post-processing and merging of multiple spike-sorting analyses with {Lussac}",
    journal="bioRxiv",
    year="2022",
    doi="10.1101/2022.02.08.479192",
)


def methods_text(params: Mapping[str, Any], versions: Mapping[str, str]) -> tuple[str, list[Reference]]:
    """
    A paragraph for the methods section, and the references in it.

    Parameters
    ----------
    params : mapping
        Settings of deepsort; empty if another sorter, or none that is known, made the units.
    versions : mapping
        Name of a package -> its version.

    Returns
    -------
    text : str
    references : list of Reference
        In the order of the text.
    """
    references = [SPIKEINTERFACE]
    with_version = f"SpikeInterface {versions['spikeinterface']} ({SPIKEINTERFACE.short})"
    sentences = []
    if params:
        sentences.append(f"Spikes were sorted with deepsort (si_deepsort {versions['si-deepsort']}) in {with_version}.")
        sentences += _front_end_sentences(params, references)
        sentences += _sorting_sentences(params, references)
        with_version = "SpikeInterface"
    sentences.append(
        f"Units were described with {with_version}: contamination was estimated from refractory violations "
        f"({CONTAMINATION.short}), missing spikes from the distribution of amplitudes ({CUTOFF.short}), and presence "
        f"as the share of time bins with spikes ({PRESENCE.short})."
    )
    return " ".join(sentences), [*references, CONTAMINATION, CUTOFF, PRESENCE]


def bibtex(references: list[Reference], versions: Mapping[str, str]) -> str:
    """BibTeX of this package and of references."""
    own = (
        "@software{si_deepsort,\n  author = {{si_deepsort developers}},\n"
        "  title = {si_deepsort: neural networks for extracellular electrophysiology inside SpikeInterface},\n"
        f"  version = {{{versions['si-deepsort']}}},\n  url = {{https://github.com/si-deepsort/si-deepsort}},\n}}\n"
    )
    return "\n".join([own, *(reference.bibtex for reference in references)])


def _front_end_sentences(params: Mapping[str, Any], references: list[Reference]) -> list[str]:
    sentences = []
    if params.get("apply_preprocessing", True):
        is_referenced = params.get("common_reference", True)
        reference = ", referenced to the median of each shank with many contacts," if is_referenced else ""
        sentences.append(
            f"Traces were band-pass filtered from {params.get('freq_min', 150):g} to {params.get('freq_max', 7000):g} "
            f"Hz{reference} and whitened over time and nearby channels."
        )
    else:
        sentences.append("Traces were whitened over time and nearby channels.")
    motion = params.get("motion_correction", "auto")
    if motion == "auto":
        references.append(DREDGE)
        sentences.append(
            f"Drift was estimated on long probes, from the depths of peaks ({DREDGE.short}), and corrected by "
            "interpolation if two halves of the peaks agreed on it."
        )
    elif motion is not None:
        sentences.append(f"Drift was corrected with SpikeInterface's preset '{motion}'.")
    return sentences


# How a method of detection is called in the methods paragraph.
DETECTORS = {
    "energy": "the energy of their waveforms",
    "cnn": "a convolutional network that judges peaks of the energy of the waveform",
    "gru": "a recurrent network that judges peaks of the energy of the waveform",
}


def _sorting_sentences(params: Mapping[str, Any], references: list[Reference]) -> list[str]:
    # Sortings of 0.1.0 that do not name these settings used neither network.
    detector = params.get("detection", "energy")
    detected = DETECTORS.get(detector, f"the detector '{detector}'")
    embedding = {"pca": "principal components"}.get(
        params.get("embedding", "pca"), "an autoencoder's descriptions and principal components"
    )
    sentences = []
    clustering = params.get("clustering", "isosplit")
    if clustering == "isosplit":
        references.append(ISOSPLIT)
        clustering = f"ISO-SPLIT ({ISOSPLIT.short})"
    sentences.append(
        f"Spikes were detected by {detected}, and {embedding} of their waveforms were clustered by {clustering}."
    )
    if params.get("matching", "pursuit") is not None:
        references.append(COLLISIONS)
        sentences.append(
            f"The templates of the clusters were matched to the traces, so that overlapping spikes ({COLLISIONS.short}"
            ") were resolved; units that could not be told apart were merged, and units made of collisions or of what "
            "larger units leave over were dropped."
        )
    if params.get("assess", False):
        sentences.append(
            "Precision and recall of each unit were estimated by a network that was trained on sortings of "
            "recordings with known spikes."
        )
    return sentences
