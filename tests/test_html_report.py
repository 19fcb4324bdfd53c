"""Pages: valid, self-contained, with everything that users typed escaped."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from si_deepsort.html_report import embed_figure, embed_table, fact_table, format_value, render_page, section

VOID = {"meta", "link", "img", "br", "input", "hr"}
ATTACK = '<script>alert("x")</script>'


class Checker(HTMLParser):
    """Raises unless each element that is opened is closed in order; collects addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.scripts = [], [], 0
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def page():
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, 1])
    frame = pd.DataFrame({ATTACK: [1.23456, np.nan], "words": ["a", ATTACK]})
    parts = [section(ATTACK, embed_figure(figure, ATTACK), embed_table(frame), fact_table({ATTACK: ATTACK}))]
    return render_page(ATTACK, parts)


def test_a_page_is_well_formed_and_loads_nothing():
    checked = Checker(page())
    assert all(address.startswith("data:") for address in checked.addresses)
    assert checked.scripts == 0, "what a user typed is text, never code"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (np.nan, "\N{EN DASH}"),
        (np.float32(3), "3"),
        (0.123456, "0.123"),
        (123456, "123456"),
        (float("inf"), "inf"),
        (True, "True"),
        ("a", "a"),
        (np.array([1, 2]), "[1 2]"),
        (2**60, str(2**60)),
    ],
)
def test_values_as_text(value, text):
    assert format_value(value) == text
