"""The language of texts, by script and by letters."""

import pytest

from mtl.data.language import guess

TEXTS = {
    "en": "the film that we saw in the garden was not as good as the book",
    "de": "die Kinder spielen im Garten, und der Hund schläft neben dem Haus",
    "es": "la película que vimos ayer en el cine no era tan buena como el libro",
    "zh": "这家餐厅的菜很好吃，送餐也非常快",
    "zh-mixed": "这个iPhone 很好用，但是 app 太贵了",
    "ja": "東京の映画館で新しい映画を見ました",
    "ko": "어제 극장에서 본 영화는 책만큼 좋지 않았다",
    "th": "ภาพยนตร์ที่เราดูเมื่อวานนี้ดีมาก",
    "he": "הסרט שראינו אתמול בקולנוע לא היה טוב",
    "ar": "الفيلم الذي شاهدناه أمس في السينما لم يكن جيدا",
    "fa": "فیلمی که دیروز در سینما دیدیم به خوبی کتاب نبود و ما آن را دوست نداشتیم",
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_language_of_texts(name: str):
    assert guess([TEXTS[name]] * 20) == name.partition("-")[0]


def test_a_few_foreign_rows_do_not_decide():
    assert guess([TEXTS["en"]] * 80 + [TEXTS["zh"]] * 20) == "en"


@pytest.mark.parametrize("texts", [[], [""], ["12 :) 5"], [TEXTS["de"] * 5, TEXTS["zh"] * 30, TEXTS["th"] * 15, TEXTS["en"] * 5]])
def test_none_is_clear(texts: list[str]):
    assert guess(texts) is None
