"""Small drawings as SVG: a few hundred bytes each, so that one page holds a thousand units."""

import html

import numpy as np


def line(x: np.ndarray, y: np.ndarray) -> str:
    """
    Path of a line through points.

    Parameters
    ----------
    x, y : np.ndarray, shape (num_points,), float
        In pixels; they are rounded to whole ones.

    Returns
    -------
    str
        SVG element.
    """
    points = np.stack([np.rint(x), np.rint(y)], axis=1).astype(int)
    steps = np.diff(points, axis=0)
    text = "".join(f"{dx} {dy} " for dx, dy in steps.tolist())
    return f'<path class="line" d="M{points[0, 0]} {points[0, 1]}l{text.strip()}"/>'


def dots(x: np.ndarray, y: np.ndarray) -> str:
    """Path of separate dots, see `line`."""
    points = np.stack([np.rint(x), np.rint(y)], axis=1).astype(int)
    steps = np.diff(points, axis=0, prepend=np.zeros((1, 2), int))
    return '<path class="dots" d="' + "".join(f"m{dx} {dy}h0" for dx, dy in steps.tolist()) + '"/>'


def bars(heights: np.ndarray, *, width: float, height: float) -> str:
    """
    Path of a histogram that fills a box.

    Parameters
    ----------
    heights : np.ndarray, shape (num_bins,), float
        In any unit; the largest reaches the top.
    width, height : float
        Size of the box in pixels.

    Returns
    -------
    str
        SVG element.
    """
    tops = np.rint(height * (1 - heights / max(heights.max(initial=0), 1e-9))).astype(int).tolist()
    edges = np.rint(np.linspace(0, width, len(heights) + 1)).astype(int)
    text = "".join(f"V{top}h{step}" for top, step in zip(tops, np.diff(edges).tolist(), strict=True))
    return f'<path class="bars" d="M0 {height:.0f}{text}V{height:.0f}z"/>'


def vertical_line(x: float, height: float) -> str:
    """A thin vertical line, such as the refractory period in a histogram."""
    return f'<path class="mark" d="M{x:.0f} 0V{height:.0f}"/>'


def drawing(
    title: str, *elements: str, width: int, height: int, x_labels: tuple[str, str] | None = None, y_label: str = ""
) -> str:
    """
    A drawing with its title above, and what its edges mean.

    Parameters
    ----------
    title : str
        Plain text; empty for a drawing without title.
    elements : str
        SVG elements inside a box of the given size.
    width, height : int
        Size of the box in pixels.
    x_labels : tuple of two str | None, default: None
        Values at the left and the right edge.
    y_label : str, default: ""
        Value at the upper edge.

    Returns
    -------
    str
        HTML.
    """
    texts = ""
    if x_labels is not None:
        texts += f'<text x="0" y="{height + 12}">{html.escape(x_labels[0])}</text>'
        texts += f'<text x="{width}" y="{height + 12}" text-anchor="end">{html.escape(x_labels[1])}</text>'
    if y_label:
        texts += f'<text x="{width}" y="8" text-anchor="end">{html.escape(y_label)}</text>'
    below = 16 if x_labels else 0
    picture = (
        f'<svg viewBox="-2 -2 {width + 4} {height + below + 4}" width="{width}" role="img" '
        f'aria-label="{html.escape(title or "template")}">{"".join(elements)}{texts}</svg>'
    )
    return f"<figure><figcaption>{html.escape(title)}</figcaption>{picture}</figure>" if title else picture
