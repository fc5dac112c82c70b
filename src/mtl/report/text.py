"""Numbers and foreign text as the page shows them."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")
"""Characters that are not seen, turn the direction of a line, or may not stand in HTML."""


def visible(value: Any) -> Any:
    """A string with its unseen characters made visible, control characters as their pictures; markup and other values as they are."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return UNSEEN.sub(lambda match: _picture(ord(match[0])), value)


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\u27e8U+{code:04X}\u27e9"


SCRIPTS = {
    "ja": "[\u3040-\u30ff]",
    "ko": "[\u1100-\u11ff\uac00-\ud7af]",
    "zh": "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]",
    "und-Arab": "[\u0620-\u06ff\u0750-\u077f\u08a0-\u08ff]",
    "und-Hebr": "[\u05d0-\u05ff]",
    "und-Thai": "[\u0e00-\u0e7f]",
    "und-Deva": "[\u0900-\u097f]",
}
"""Language tags (BCP 47) to characters that tell them, the first that occurs: browsers choose fonts by the tag, and people hear it read."""


def script(text: str | None) -> Markup:
    """Attributes of an element with foreign text: its direction by its first letter, and what is known of its language."""
    language = next((name for name, characters in SCRIPTS.items() if re.search(characters, text or "")), None)
    return Markup(' dir="auto"' + (f' lang="{language}"' if language else ""))


ZERO = 1e-9
"""A difference or share below this is rounding, and shown as 0."""


def score(value: float) -> str:
    """A score: three decimals, or two digits of one that those would not show."""
    small = 0 < abs(value) < 0.0005
    return f"{value:.2g}".replace("-", "−") if small else f"{value:.3f}".replace("-", "−")


def signed(value: float, decimals: int = 3) -> str:
    """A difference, with its sign; zero has none. It has as many decimals more as it takes to see the sign."""
    return _signed(value, _decimals(value, decimals))


def ends(low: float, high: float, decimals: int = 3) -> tuple[str, str]:
    """The ends of an interval of differences, with as many decimals more as it takes to see on which side of zero each is."""
    decimals = max(_decimals(low, decimals), _decimals(high, decimals))
    return _signed(low, decimals), _signed(high, decimals)


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _decimals(value: float, decimals: int) -> int:
    """The least number of decimals, but at least so many, that show a digit other than zero."""
    while abs(value) >= ZERO and not round(abs(value), decimals):
        decimals += 1
    return decimals


def at_most(share: float) -> str:
    """A share as whole percent, rounded down: what is kept is not said to be more than it is."""
    return percent(math.floor(100 * share + 1e-9) / 100)


def whole(value: float) -> str:
    """A count, with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", "\u202f")


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 row``, ``2 rows``."""
    return f"{whole(count)} {noun}{'' if count == 1 else 's'}"


def percent(share: float, decimals: int = 0) -> str:
    """A share as percent, with as many decimals more as it takes to tell it from none and from all."""
    decimals = max(_decimals(100 * share, decimals), _decimals(100 - 100 * share, decimals))
    return f"{100 * share:.{decimals}f} %".replace("-", "−")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, the greater two of them."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    return f"{total // 60} min {total % 60:02d} s" if total < 3600 else f"{total // 3600} h {total % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes in KiB, MiB or GiB."""
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def setting(value: Any) -> str:
    """The value of a setting in few letters; of a section its type, then its other keys."""
    if isinstance(value, Mapping):
        named = [f"{key} {setting(kept)}" for key, kept in value.items() if key != "type"]
        return ", ".join([str(value["type"]), *named] if "type" in value else named)
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def short(name: str, length: int = 16) -> str:
    """A name cut to fit a figure."""
    return name if len(name) <= length else name[: length - 1] + "…"
