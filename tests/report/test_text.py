"""Numbers and foreign text as they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from mtl.report import text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.score(0.12345), "0.123"),
        (text.score(-0.5), "−0.500"),
        (text.signed(0.0123), "+0.012"),
        (text.signed(-0.0123), "−0.012"),
        (text.score(0.00012345), "0.00012"),
        (text.score(-4e-310), "−4e−310"),
        (text.score(0.0), "0.000"),
        (text.signed(-0.00001), "−0.00001"),
        (text.signed(-1e-17), "0.000"),
        (text.percent(0.00004, 2), "0.004 %"),
        (text.percent(0.999), "99.9 %"),
        (text.percent(1.0), "100 %"),
        (text.percent(-0.0003, 1), "−0.03 %"),
        (text.whole(1234567), "1\u202f234\u202f567"),
        (text.percent(0.126), "13 %"),
        (text.duration(59.2), "59 s"),
        (text.duration(61), "1 min 01 s"),
        (text.duration(3660), "1 h 01 min"),
        (text.size(900 * 2**20), "900 MiB"),
        (text.size(3 * 2**10), "3 KiB"),
        (text.counted(1, "row"), "1 row"),
        (text.counted(2000, "row"), "2\u202f000 rows"),
        (text.listed(["a"]), "a"),
        (text.listed(["a", "b", "c"]), "a, b and c"),
        (text.short("a" * 20, 5), "aaaa…"),
        (text.setting(0.00012345), "0.0001234"),
        (text.setting(None), "–"),
        (text.setting({"width": 64, "type": "fnn", "dropout": 0.25}), "fnn, width 64, dropout 0.25"),
        (text.setting({"a": {"type": "b", "c": 1.5}}), "a b, c 1.5"),
        (text.visible("a\x00\x1b\u202eb\x7f"), "a␀␛⟨U+202E⟩b␡"),
        (text.visible("a\u061cb"), "a⟨U+061C⟩b"),
        (" to ".join(text.ends(-0.5, 0.00001)), "−0.50000 to +0.00001"),
        (" to ".join(text.ends(-0.02, 3.1, 1)), "−0.02 to +3.10"),
        (" to ".join(text.ends(0.0, 3.1, 1)), "0.0 to +3.1"),
        (" to ".join(text.ends(0.0003, 0.02)), "+0.0003 to +0.0200"),
        (" to ".join(text.ends(-0.02, -0.0004)), "−0.0200 to −0.0004"),
        (" to ".join(text.ends(0.04, 1.2, 1)), "+0.04 to +1.20"),
        (text.at_most(0.9953), "99 %"),
        (text.at_most(0.29), "29 %"),
        (text.visible(Markup("<b>\x00")), "<b>\x00"),
    ],
)
def test_shown(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.text())
def test_what_is_shown_holds_no_unseen_character(content: str) -> None:
    assert not text.UNSEEN.search(text.visible(content))
