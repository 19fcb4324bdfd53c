"""The page in a real browser: it sorts, filters and opens, by mouse and by keyboard, and asks for nothing."""

import shutil

import pytest
from small_recording import small_recording

from si_deepsort.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    recording, truth = small_recording(folder / "recording", duration_s=3.0)
    judged = dict(label=["noise", "good", "multi-unit"], confidence=[0.9, 0.9, 0.9])
    for name in ("precision", "recall"):
        judged |= {
            f"expected_{name}": [0.5, 0.99, 0.7],
            f"{name}_lower": [0.4, 0.9, 0.6],
            f"{name}_upper": [0.6, 1, 0.8],
        }
    for name, values in judged.items():
        truth.set_property(name, values)
    return write_report(truth, recording, folder / "report").as_uri()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, address):
    """The open page; afterwards nothing was asked for, and nothing went wrong."""
    opened, messages, requests = browser.new_page(), [], []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(address)
    yield opened
    assert messages == [] and {url.split("#")[0] for url in requests} <= {address, "data:,"}
    opened.close()


def column(page, number):
    return [float(text) for text in page.locator(f"#units tbody td:nth-child({number})").all_inner_texts()]


def test_the_table_is_sorted_by_click_and_by_key(page):
    button = page.locator("#units th button", has_text="SNR")
    number = 1 + page.locator("#units th button").all_inner_texts().index("SNR")
    button.click()
    assert column(page, number) == sorted(column(page, number))
    button.press("Enter")
    assert column(page, number) == sorted(column(page, number), reverse=True)


def test_the_table_is_filtered(page):
    assert page.locator("#count").inner_text() == "3 of 3 units"
    page.locator("#filter").fill("no such unit")
    assert page.locator("#units tbody tr:visible").count() == 0
    assert page.locator("#count").inner_text() == "0 of 3 units"


def test_the_table_is_filtered_by_label(page):
    page.locator("#filter").fill("multi-unit")
    assert page.locator("#units tbody tr:visible").count() == 1


def test_the_table_fits_on_a_desktop(page):
    page.set_viewport_size({"width": 1280, "height": 900})
    table, frame = (page.locator(name).bounding_box() for name in ("#units", ".wide:has(#units)"))
    assert table["width"] <= frame["width"]


def test_the_table_is_filtered_by_numbers(page):
    snr = column(page, 1 + page.locator("#units th button").all_inner_texts().index("SNR"))
    limit = sorted(snr)[1]
    page.locator("#filter").fill(f"snr > {limit}")
    assert page.locator("#units tbody tr:visible").count() == 2
    page.locator("#filter").fill(f"SNR<{limit}")
    assert page.locator("#units tbody tr:visible").count() == 2


def test_values_with_bounds_are_sorted_by_value(page):
    button = page.locator("#units th button", has_text="expected precision")
    number = 1 + page.locator("#units th button").all_inner_texts().index("expected precision")
    button.click()
    cells = [" ".join(text.split()) for text in page.locator(f"#units tbody td:nth-child({number})").all_inner_texts()]
    assert cells == ["0.50 0.40 to 0.60", "0.70 0.60 to 0.80", "0.99 0.90 to 1.00"]


def test_a_link_opens_the_card_of_its_unit(page):
    assert page.locator("details.unit[open]").count() == 0
    link = page.locator("#units tbody a").first
    card = page.locator("[id='" + link.get_attribute("href")[1:] + "']")
    link.press("Enter")
    card.locator("svg").first.wait_for(state="visible")
    card.locator("summary").click()
    assert page.locator("details.unit[open]").count() == 0
    link.click()
    card.locator("svg").first.wait_for(state="visible")


def test_the_map_is_enlarged(page):
    width = page.locator("#map").bounding_box()["width"]
    page.locator("#zoom").fill("2")
    assert page.locator("#map").bounding_box()["width"] == pytest.approx(2 * width, rel=0.02)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 700})
    for summary in page.locator("details.unit summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
