"""Spanish: words that deny, function words, the keyboard, and synonyms of the same ending, which mostly have the same gender and number."""

from mtl.augment.languages.base import Language

_GRAMMAR_WORDS = """
a al ante antes aquel aquella aquellas aquello aquellos aquí así aun aunque aún bajo bien cada casi como con contra cual cuales
cualquier cuando cuanto cuya cuyo cómo cuándo cuál cuánto de debe deben debía del desde donde dos durante dónde e el ella ellas ello
ellos en entonces entre era eran eras eres es esa esas ese eso esos esta estaba estaban estado estamos estar estas este esto estos
estoy está están fue fueron fui ha haber había habían han has hasta hay haya he hemos hizo hoy la las le les lo los luego me mediante
mi mis mientras mucha muchas mucho muchos muy más mía mío mí nos nosotros nuestra nuestras nuestro nuestros o os otra otras otro otros
para pero poca pocas poco pocos por porque pues puede pueden que quien quienes quién qué se sea sean ser será serán si sido siempre sin
sino sobre solo son soy su sus sí también tan tanta tanto te tener tengo ti tiene tienen toda todas todavía todo todos tres tu tus tú u
un una unas uno unos usted ustedes va vamos van varias varios vez vosotros voy y ya yo él
"""
_DENYING_WORDS = "no ni nunca jamás nadie nada ningún ninguno ninguna ningunos ningunas tampoco sin sino apenas"


class Spanish(Language):
    """As it is written in Spain and in America."""

    features = frozenset({"words", "slips", "synonyms"})
    denying = frozenset(_DENYING_WORDS.split())
    grammar = frozenset(_GRAMMAR_WORDS.split())
    keys = ("qwertyuiop", "asdfghjklñ", "zxcvbnm")
    pivots = ("en",)
    table = "/usr/share/mythes/th_es_ES_v2.dat, of Debian's package mythes-es"

    def fits(self, word: str, synonym: str) -> bool:
        """Whether a synonym ends like the word: then both are masculine or feminine, singular or plural, a noun or an infinitive."""
        endings = [text[-2:] if text.endswith(("s", "r")) else text[-1:] for text in (word, synonym)]
        return endings[0] == endings[1] or all(text.endswith(("ar", "er", "ir")) for text in (word, synonym))
