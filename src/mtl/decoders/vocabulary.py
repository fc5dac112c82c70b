"""The subwords of target texts."""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mtl.errors import ModelError, one_line

END = 0
"""Index of the subword that ends a text."""
_END = "[END]"


class TargetVocabulary:
    """Byte-level byte pairs (Sennrich et al. 2016, ACL; Radford et al. 2019) that keep case: any text can be written, and no character is
    unknown. Same texts, same vocabulary.
    """

    end = END

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True  # "[END]" in a text is plain text
        self.size = int(tokenizer.get_vocab_size())

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> "TargetVocabulary":
        """Learn at most that many subwords; the 256 bytes and the end are always among them."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=[_END],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(map(clean, texts), trainer)
        return cls(tokenizer)

    @classmethod
    def parse(cls, content: str) -> "TargetVocabulary":
        """From what ``dump`` gave.

        Raises:
            ModelError: it is not a tokenizer with the end as its first subword.
        """
        with one_line(ModelError, "the decoder's vocabulary is not readable"):
            tokenizer = Tokenizer.from_str(content)
        if tokenizer.token_to_id(_END) != END:
            raise ModelError(f"the decoder's vocabulary has no {_END} at {END}")
        return cls(tokenizer)

    def dump(self) -> str:
        """All of it as JSON."""
        return str(self._tokenizer.to_str())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The subwords of each text, without the end."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(map(clean, texts)), add_special_tokens=False)]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of subwords, with white space normalised to single spaces as in target texts."""
        plain = [[subword for subword in row if subword != END] for row in rows]
        return [" ".join(text.split()) for text in self._tokenizer.decode_batch(plain, skip_special_tokens=False)]


def clean(text: str) -> str:
    """Half a surrogate pair, which JSON can spell, has no UTF-8 form and would stop the tokenizer."""
    return text.encode("utf-8", "replace").decode()
