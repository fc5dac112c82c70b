"""German: words that deny, function words, the keyboard, and synonyms with the same ending and case of the first letter."""

from mtl.augment.languages.base import Language

_GRAMMAR_WORDS = """
ab aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch auf aus bei beim bin bis bist da
dabei dadurch dafür dagegen daher damit dann daran darauf darin darüber darum das dass dazu dein deine deinem deinen deiner dem den denen
denn der deren derer des dessen die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen einer eines einige
einmal er es etwa etwas euch euer eure für ganz gar gegen gibt habe haben hast hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr
ihre ihrem ihren ihrer ihres im in indem ins ist ja jede jedem jeden jeder jedes jene jenem jenen jener jenes jetzt kann können könnte
man manche mehr mein meine meinem meinen meiner mich mir mit muss müssen nach noch nun nur ob oder schon sehr sei seid sein seine seinem
seinen seiner sich sie sind so solche soll sollen sollte sondern sonst über um und uns unser unsere unter vom von vor wann war waren
warst was weil welche welchem welchen welcher welches wenn wer werde werden wie wieder wir wird wirst wo worden wurde wurden während würde
würden zu zum zur zwar zwei drei zwischen
"""
_DENYING_WORDS = """
nicht nichts nie niemals niemand niemandem niemanden nirgends nirgendwo kein keine keinem keinen keiner keines keinerlei keineswegs
weder noch ohne kaum nein nimmer
"""


class German(Language):
    """As it is written in Austria, Germany and Switzerland."""

    features = frozenset({"words", "slips", "synonyms"})
    denying = frozenset(_DENYING_WORDS.split())
    grammar = frozenset(_GRAMMAR_WORDS.split())
    keys = ("qwertzuiopü", "asdfghjklöä", "yxcvbnm")
    table = "/usr/share/mythes/th_de_DE_v2.dat, of Debian's package mythes-de"

    def fits(self, word: str, synonym: str) -> bool:
        """Whether a synonym has two letters at its end, and a capital or none, in common with the word: then its form mostly agrees."""
        return word[-2:] == synonym[-2:] and word[:1].isupper() == synonym[:1].isupper()
