"""The methods text says what was done with these settings, and every reference in it has an entry."""

import re

from si_deepsort.report.citations import bibtex, methods_text
from si_deepsort.report.environment import package_versions
from si_deepsort.settings import default_params
from si_deepsort.sorter.settings import DeepSortSettings

DEFAULTS = default_params(DeepSortSettings)


def test_the_text_follows_the_settings():
    versions = package_versions()
    text, _ = methods_text(DEFAULTS, versions)
    assert "150 to 7000 Hz" in text and "ISO-SPLIT" in text and versions["si-deepsort"] in text
    changed = dict(freq_min=300.0, motion_correction=None, clustering="hdbscan", detection="cnn", matching=None)
    text, references = methods_text({**DEFAULTS, **changed}, versions)
    assert "300 to 7000 Hz" in text and "Drift" not in text and "hdbscan" in text and "convolutional" in text
    assert "matched" not in text and not any("ISO-SPLIT" in reference.text for reference in references)
    assert "filtered" not in methods_text({**DEFAULTS, "apply_preprocessing": False}, versions)[0]
    assert "deepsort" not in methods_text({}, versions)[0]


def test_every_reference_is_named_in_the_text_and_has_bibtex():
    versions = package_versions()
    text, references = methods_text(DEFAULTS, versions)
    entries = bibtex(references, versions)
    assert all(reference.short in text for reference in references)
    keys = re.findall(r"^@\w+\{(\w+),", entries, re.MULTILINE)
    assert len(keys) == len(set(keys)) == len(references) + 1
    assert entries.count("{") == entries.count("}")
