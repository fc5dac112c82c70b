"""The section ``augment``: the methods and their settings."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mtl import plugins
from mtl.config.base import Language, Name, OneOf, Rate, Section, Share, Source

Feature = Literal["words", "slips", "synonyms", "look_alikes", "numerals", "scripts"]
"""What a language can have, and a method need: words that may be moved or left out, slips of the keyboard, synonyms, characters that look
alike, two forms of numbers, two scripts."""


class Method(Section):
    """What all augmentation methods have in common."""

    implementation: ClassVar[str]
    """``module:Class`` of the ``mtl.augment.variants.Augmenter``."""
    needs_tags: ClassVar[bool] = False
    """Whether the method works on labelled positions: it is applied only to datasets that have such labels."""
    borrows: ClassVar[bool] = False
    """Whether its variants contain words of other train rows."""

    needs: ClassVar[Feature | None] = None
    """What it needs of a language: it knows those that have it (``mtl.augment.languages``). None: it knows all languages."""

    @property
    def downloads(self) -> dict[str, Source]:
        """Files that it works with, by the key that names each."""
        return {}

    type: str
    copies: Annotated[int, Field(ge=1, le=100)] = 1
    """Variants per training row."""
    datasets: tuple[Name, ...] | None = None
    """Datasets it is applied to; by default all that it can work on."""
    fields: tuple[Name, ...] | None = None
    """Text fields it is applied to; all of the dataset's by default."""


class RelationChanging(Method):
    """A method that changes one text without regard to what the other text of its row says."""

    pairs: bool = False
    """Applies it also to datasets with a label about two texts together, such as entailment or a translation. A variant may then say
    something else about the other text than its label does, such as a hypothesis without the word that contradicts the premise."""


class Tabled(Method):
    """A method that works with a table for each language."""

    hint: ClassVar[str]
    """The attribute of a language that says where a table may come from; empty if the package has one."""
    tables: dict[Language, Source] = {}
    """Language to its table, in a form that the module of the language reads."""

    @property
    def downloads(self) -> dict[str, Source]:
        """The tables, by key."""
        return {f"tables.{language}": source for language, source in self.tables.items()}

    def table_of(self, language: str) -> str | None:
        """The key of the download of a language's table; None if the package has it, or none is named."""
        names = (name for name in self.tables if plugins.language(name) is plugins.language(language))
        return next((f"tables.{name}" for name in names), None)


class Synonym(Tabled):
    """Replaces words by synonyms of the shipped table, one token for one token."""

    implementation = "mtl.augment.synonym:SynonymAugmenter"
    needs = "synonyms"
    hint = "table"
    type: Literal["synonym"]
    rate: Rate = 0.3
    """Share of the words with synonyms that are replaced."""
    tables: dict[Language, Source] = {}
    """Language to its table of synonyms: a gzip of lines ``word<TAB>synonym,synonym``, or a form that its module reads. English has one in
    the package."""


class LookAlike(Tabled):
    """Replaces one character in some words by one that looks like it, never in entities."""

    implementation = "mtl.augment.look_alike:LookAlikeAugmenter"
    needs = "look_alikes"
    hint = "look_alike_table"
    type: Literal["look_alike"]
    rate: Rate = 0.1
    """Probability that a word is changed, at least one per row."""


class NumberForm(Method):
    """Writes numbers in the other form of the language, as 三十分钟 for 30分钟, never in entities."""

    implementation = "mtl.augment.number_form:NumberFormAugmenter"
    needs = "numerals"
    type: Literal["number_form"]
    rate: Rate = 0.5
    """Share of the numbers that are changed, at least one per row."""


class Script(Method):
    """Writes texts in the other script of the language: traditional Chinese where they are simplified, and the reverse; entities too."""

    implementation = "mtl.augment.script:ScriptAugmenter"
    needs = "scripts"
    type: Literal["script"]


class BackTranslate(Method):
    """Translates there and back; entities and other protected tokens go through as placeholders."""

    implementation = "mtl.augment.back_translate:BackTranslateAugmenter"
    type: Literal["back_translate"]
    engine: Literal["apertium", "transformers", "ctranslate2"] = "apertium"
    """Apertium translates by rules; the others run a pair of models, ctranslate2 with 8-bit weights and faster on a CPU."""
    pivots: Annotated[tuple[Language, ...], Field(min_length=1)] | None = None
    """Apertium: pivot languages, taken in turn by the copies; by default those of the dataset's language. Other engines: ignored."""
    forward: Source | None = None
    """transformers, ctranslate2: the model into the pivot language."""
    backward: Source | None = None
    """transformers, ctranslate2: the model back."""

    @property
    def downloads(self) -> dict[str, Source]:
        """The models that the engine runs, by key."""
        named = {"forward": self.forward, "backward": self.backward}
        return {} if self.engine == "apertium" else {key: source for key, source in named.items() if source}

    @model_validator(mode="after")
    def _check(self) -> "BackTranslate":
        if self.engine != "apertium" and len(self.downloads) < 2:
            raise ValueError(f"engine {self.engine} needs forward and backward models")
        return self


class Nlpaug(RelationChanging):
    """Any word or character augmenter of nlpaug, by its class name."""

    implementation = "mtl.augment.nlpaug:NlpaugAugmenter"
    type: Literal["nlpaug"]
    augmenter: Annotated[str, Field(min_length=1)]
    """For example ``KeyboardAug`` (nlpaug.augmenter.char) or ``SpellingAug`` (nlpaug.augmenter.word). ``type: "nlpaug:KeyboardAug"`` is
    short for ``type: nlpaug`` and ``augmenter: KeyboardAug``."""
    options: dict[str, Any] = {}
    """Arguments of its constructor."""


class MentionReplace(RelationChanging):
    """Replaces entities by others of the same type from the train split (Dai & Adel 2020)."""

    implementation = "mtl.augment.mention_replace:MentionReplaceAugmenter"
    needs_tags = True
    borrows = True
    type: Literal["mention_replace"]
    rate: Rate = 0.5
    """Probability that an entity is replaced."""


class LabelTokenReplace(RelationChanging):
    """Replaces tokens by others that carry the same tag in the train split (Dai & Adel 2020)."""

    implementation = "mtl.augment.label_token_replace:LabelTokenReplaceAugmenter"
    needs_tags = True
    borrows = True
    type: Literal["label_token_replace"]
    rate: Rate = 0.2
    """Probability that a token is replaced."""


class ShuffleWithinSegments(RelationChanging):
    """Shuffles tokens within segments: an entity, or what stands between two (Dai & Adel 2020)."""

    implementation = "mtl.augment.shuffle_within_segments:ShuffleWithinSegmentsAugmenter"
    needs_tags = True
    type: Literal["shuffle_within_segments"]
    rate: Rate = 0.3
    """Probability that a segment is shuffled."""


class Delete(RelationChanging):
    """Deletes words, never entities (random deletion of Wei & Zou 2019)."""

    implementation = "mtl.augment.delete:DeleteAugmenter"
    needs = "words"
    type: Literal["delete"]
    rate: Rate = 0.1
    """Probability that a word is deleted."""


class Swap(RelationChanging):
    """Swaps pairs of words, never entities (random swap of Wei & Zou 2019)."""

    implementation = "mtl.augment.swap:SwapAugmenter"
    needs = "words"
    type: Literal["swap"]
    rate: Rate = 0.1
    """Swaps per word, at least one per row."""


class InsertPunctuation(Method):
    """Inserts punctuation between words, never into entities (AEDA, Karimi, Rossi & Prati 2021)."""

    implementation = "mtl.augment.insert_punctuation:InsertPunctuationAugmenter"
    needs = "words"
    type: Literal["insert_punctuation"]
    rate: Rate = 0.3
    """Maximum number of marks per word; the number is drawn from 1 up to the maximum."""


class Typo(Method):
    """Makes one typing error in some words, never in entities: a neighbouring, missing, doubled or exchanged letter."""

    implementation = "mtl.augment.typo:TypoAugmenter"
    needs = "slips"
    type: Literal["typo"]
    rate: Rate = 0.1
    """Probability that a word is misspelt, at least one per row."""


class NlpaugInShort(RelationChanging):
    """Any word or character augmenter of nlpaug, named in the type."""

    type: Annotated[str, Field(pattern=r"^nlpaug:.+$")]
    """Such as ``nlpaug:KeyboardAug``."""
    options: dict[str, Any] = {}
    """Arguments of its constructor."""


def _at_length(method: Any) -> Any:
    """``type: "nlpaug:KeyboardAug"`` as type and augmenter."""
    type_ = method.get("type") if isinstance(method, Mapping) else None
    if not isinstance(type_, str) or not type_.startswith("nlpaug:"):
        return method
    if "augmenter" in method:
        raise ValueError(f"name the augmenter in type ({type_}) or in augmenter, not in both")
    return {**method, "type": "nlpaug", "augmenter": type_.removeprefix("nlpaug:")}


AugmentMethod = Annotated[Method, OneOf(plugins.AUGMENTERS, _at_length)]


class Augment(Section):
    """Augmentation of the train split."""

    shards: Annotated[int, Field(ge=1, le=99_999)] = 2
    """Shards per dataset: one job and one Parquet file each."""
    methods: dict[Name, AugmentMethod] = {}
    """Name of your choice to method; rows and report carry the name."""
    share: Share = 0.5
    """Probability that a row with variants is replaced by one of them in a training step."""
    min_similarity: Share | None = None
    """Smallest cosine similarity of a variant's embedding and its original's; variants below are dropped. Embeddings are those of the
    pretrained encoder, which must be of type transformer. Null: no filter."""
