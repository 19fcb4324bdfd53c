"""Spellings of electrical units."""

# Microvolts in each unit that SpikeInterface knows as a voltage: for these, and no others, its gains lead to uV.
UV_PER_SI_UNIT = {"V": 1e6, "Volt": 1e6, "Volts": 1e6, "mV": 1e3, "uV": 1.0}
_PREFIXES = {"": "", "milli": "m", "micro": "u", "nano": "n", "pico": "p"}
_BASES = {"volt": "V", "volts": "V", "ampere": "A", "amperes": "A", "amp": "A", "amps": "A"}
_WORDS = {prefix + base: short + symbol for prefix, short in _PREFIXES.items() for base, symbol in _BASES.items()}
# In other capitals, as some programs write them: "pa", "UV". Not "MV" and "MA", which would be mega.
_LETTERS = {short + symbol.lower(): short + symbol for short in _PREFIXES.values() for symbol in ("V", "A")}


def clean_unit(unit: object) -> str:
    """
    Usual spelling of a unit.

    Parameters
    ----------
    unit : str
        As a file has it: "mV", "millivolts", "\N{MICRO SIGN}V", "pa" ...

    Returns
    -------
    str
        "V", "mV", "uV", "nV", "pV" and the same of "A"; any other unit as it came; "" for none.
    """
    text = str(unit).strip().strip("[]()").strip()
    text = text.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    if text.lower() in ("", "none", "nan", "dimensionless"):
        return ""
    if text.startswith("M"):
        return _WORDS.get(text.lower(), text)
    return _WORDS.get(text.lower()) or _LETTERS.get(text.lower()) or text
