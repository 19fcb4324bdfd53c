"""Write the settings of the package into the wrapper: `python contrib/spikeinterface/write_settings.py`."""

import re
from pathlib import Path

from si_deepsort.settings import default_params, params_description
from si_deepsort.sorter.settings import DeepSortSettings

WRAPPER = Path(__file__).with_name("deepsort.py")


def with_settings(text: str) -> str:
    """The text of the wrapper with the present settings."""
    for name, values in (
        ("_default_params", default_params(DeepSortSettings)),
        ("_params_description", params_description(DeepSortSettings)),
    ):
        lines = "".join(f"        {key!r}: {value!r},\n" for key, value in values.items())
        text = re.sub(
            rf"^    {name} = \{{\n.*?^    \}}\n", lambda _, n=name, b=lines: f"    {n} = {{\n{b}    }}\n", text,
            flags=re.DOTALL | re.MULTILINE,
        )  # fmt: skip
    return text


if __name__ == "__main__":
    WRAPPER.write_text(with_settings(WRAPPER.read_text(encoding="utf-8")), encoding="utf-8")
