"""The task type ``generation``: targets, loss, scores, and what people see."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from mtl.config import Decoder as Settings
from mtl.config import Params, parse
from mtl.decoders import END, build
from mtl.errors import ParamsError
from mtl.model.prediction import LARGEST
from mtl.tasks.base import TextRow
from mtl.tasks.generation import IGNORED, Generation, GenerationSettings
from mtl.tasks.text_scores import perplexity, words

GOLD = ["Zwei Hunde spielen im Schnee.", "Ein Mann liest ein Buch .", "A small cat sat on the mat", "東京に行く"]
PREDICTION = ["Zwei Hunde rennen im Schnee.", "Ein Mann liest .", "", "東京へ行く"]


def task(max_length: int = 12, **settings: Any) -> Generation:
    found = Generation(Generation.fit(GOLD, GenerationSettings(type="generation", label="x", **settings)))
    found.use_decoder(build(Settings(layers=1, width=8, heads=1, vocabulary=300, max_length=max_length), GOLD, 6, seed=1))
    return found


def test_targets_end_and_long_ones_are_cut_and_counted() -> None:
    own = task()
    long = " ".join(["Wort"] * 10_000)
    assert own.fit_targets(["Hund", None, long])[0].startswith("decoder.max_length 12 cuts target texts: 1 train row (subwords lost: ")
    assert task().fit_targets(["Hund"]) == []
    targets = own.targets(["Hund", None, long, "", "[END] ß \ud800"])
    assert targets.shape == (5, 12)
    assert own.labelled(targets).tolist() == [True, False, True, True, True]
    assert END not in targets[2]  # where a text was cut, its end is not taught
    assert targets[3].tolist() == [END] + [IGNORED] * 11
    assert int(own.count(targets)) == int((targets != IGNORED).sum())
    assert own.targets([None, None]).shape == (2, 1)
    assert own.target_lengths(["Hund", None, long, ""]).tolist() == (targets[:4] != IGNORED).sum(1).tolist()


def test_the_loss_of_a_model_that_ignores_its_input_is_about_1() -> None:
    own = task(label_smoothing=0.1)
    own.fit_targets(GOLD)
    targets = own.targets(GOLD)
    ids = targets[targets != IGNORED]
    shares = torch.bincount(ids, minlength=own.vocabulary.size) / len(ids)
    smoothed = 0.9 * shares + 0.1 / own.vocabulary.size
    total = torch.nn.functional.cross_entropy(smoothed.log().expand(len(ids), -1), ids, label_smoothing=0.1, reduction="sum")
    assert float(own.loss(total.reshape(1), targets)) == pytest.approx(1.0, rel=1e-3)


def test_decoding_gives_texts_and_the_geometric_mean_of_probabilities() -> None:
    own = task()
    [ids] = own.vocabulary.encode(["Hund"])
    row = [np.log(0.25), *ids, END, *[-1] * (11 - len(ids))]
    [prediction, empty] = own.decode(torch.tensor([row, [0.0, END, *[-1] * 11]]))
    text = TextRow.of(["dog"], [False])
    assert own.to_json(prediction, text) == {"text": "Hund", "score": pytest.approx(0.25)}
    assert own.to_json(empty, text) == {"text": "", "score": 1.0}


def test_scores_are_those_of_their_libraries() -> None:
    scores = Generation.metrics(GOLD, PREDICTION)
    assert scores["bleu"] == pytest.approx(BLEU().corpus_score(PREDICTION, [GOLD]).score)
    assert scores["chrf"] == pytest.approx(CHRF().corpus_score(PREDICTION, [GOLD]).score)
    ascii_rows = [row for row in range(4) if (GOLD[row] + PREDICTION[row]).isascii()]
    plain = Generation.metrics([GOLD[row] for row in ascii_rows], [PREDICTION[row] for row in ascii_rows])
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for name in ("rouge1", "rouge2", "rougeL"):
        expected = [scorer.score(GOLD[row], PREDICTION[row])[name].fmeasure for row in ascii_rows]
        assert plain[name] == pytest.approx(np.mean(expected))
    assert Generation.metrics(GOLD, GOLD)["rougeL"] == 1.0
    assert Generation.metrics(["a b"], ["a a a b"])["distinct1"] == 0.5
    assert Generation.metrics(["a b"], ["a a a b"])["length_ratio"] == 2.0
    assert set(Generation.metrics([], []).values()) == {0.0}
    assert all(np.isfinite([*Generation.metrics(["a"], [""]).values()]))


def test_words_are_those_of_any_script() -> None:
    assert words("Ärger, 2 Hunde!東京へaß") == ["ärger", "2", "hunde", "東", "京", "へ", "aß"]


def test_a_lower_or_unbounded_metric_can_be_the_main_one() -> None:
    metric = Generation.metric("length_ratio")
    assert metric.high == float("inf")
    with pytest.raises(ValueError, match="choose from: bleu, chrf"):
        Generation.metric("meteor")


def test_the_error_browser_marks_what_differs_worst_first() -> None:
    rows = [
        {"text": "A dog", "gold": gold, "prediction": prediction, "confidence": 0.5}
        for gold, prediction in zip(GOLD, PREDICTION, strict=True)
    ]
    judge = Generation.judge(rows)
    first, *_, empty, _ = found = [judge(row) for row in rows]
    assert [(mark.text, mark.status) for mark in first.marks] == [
        ("A dog", "field"),
        ("Zwei Hunde", ""),
        ("spielen", "missed"),
        ("rennen", "spurious"),
        ("im Schnee.", ""),
    ]
    assert max(found, key=lambda item: item.order) is empty
    assert judge({**rows[0], "prediction": GOLD[0]}).severity == 0


def params(*tasks: dict[str, Any], **more: Any) -> Params:
    labels = {f"t{i}": {"type": "text", "column": "x"} for i in range(len(tasks))}
    dataset = {"source": {"url": "a"}, "reader": {"format": "jsonl"}, "labels": labels, "split": {"train": 0.8, "test": 0.2}}
    named = {f"t{i}": {"type": "generation", "label": f"t{i}", **own} for i, own in enumerate(tasks)}
    return parse({"seed": 1, "datasets": {"d": dataset}, "tasks": named, "encoder": {"type": "cnn"}, **more})


def test_all_tasks_share_the_decoder_that_one_of_them_sets() -> None:
    settings = {"decoder": {"layers": 2}}
    assert params({}, settings).decoder == params(settings, settings).decoder == Settings(layers=2)
    assert params({}).decoder == Settings()
    with pytest.raises(ParamsError, match=r"tasks\.t1\.decoder: differs from that of t0"):
        params(settings, {"decoder": {"layers": 1}})
    with pytest.raises(ParamsError, match="width 10 is not a multiple of heads 4"):
        params({"decoder": {"width": 10}})


def test_methods_that_may_change_what_the_source_says_stay_off() -> None:
    methods = {"typo": {"type": "typo"}, "delete": {"type": "delete"}, "forced": {"type": "delete", "pairs": True}}
    found = params({}, augment={"methods": methods})
    assert list(found.methods_of("d")) == ["typo", "forced"]


def test_the_card_says_how_it_writes() -> None:
    described = [Generation(task(beams=beams).state).describe() for beams in (1, 4)]  # without a decoder, as in a saved model's settings
    assert described == ["a text, by greedy search", "a text, by beam search with 4 beams"]
    assert task(temperature=0.7, top_p=0.9).describe() == "a text, drawn at temperature 0.7 from the most probable 90%"
    assert json.dumps(task().state)


def test_a_text_that_is_drawn_depends_on_the_source_alone() -> None:
    own = task(temperature=2.0)
    decoder = build(Settings(layers=1, width=8, heads=1, vocabulary=300, max_length=12), GOLD, 6, seed=1).eval()
    head, states, mask = own.head(8, 0.0), torch.zeros(3, 2, 6), torch.tensor([[True, True], [True, False], [True, True]])
    with torch.inference_mode():
        found = head(states, mask, decoder, subwords=torch.tensor([[5, 6], [5, 9], [5, 6]]))[:, 1:].tolist()
    assert found[0] == found[2] != found[1]


def test_perplexity_is_finite_also_where_a_probability_is_not_a_number() -> None:
    score = perplexity(np.array([2.0, LARGEST]), np.array([4.0, 3.0]))
    assert score(np.array([[1.0, 0.0], [1.0, 1.0]])).tolist() == pytest.approx([np.exp(0.5), np.exp(100.0)])
