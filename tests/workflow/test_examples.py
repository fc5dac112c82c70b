"""Each example's params file runs the whole workflow, on a small sample in the published form and with a tiny encoder."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.data.sources import fingerprint
from workflow.make_project import ROOT, Project, entities, ratings

pytestmark = pytest.mark.workflow


def source(path: Path) -> dict[str, str]:
    return {"url": str(path), "sha256": fingerprint(path)}


def conll_sst2(folder: Path) -> dict[str, object]:
    splits: dict[str, dict[str, object]] = {"conll": {}, "sst2": {}}
    for seed, split in enumerate(("train", "test")):
        lines = [line and line.replace(" ", " _ _ ") for line in entities(120, seed).split("\n")]
        (folder / f"{split}.txt").write_text("-DOCSTART- -X- -X- O\n\n" + "\n".join(lines))
        rated = [line.split(",", 1) for line in ratings(120, seed).splitlines()[1:]]
        (folder / f"{split}.sst").write_text("".join(f"{int(float(rating) > 0)} {text[1:-1]}\n" for rating, text in rated))
        splits["conll"][split], splits["sst2"][split] = source(folder / f"{split}.txt"), source(folder / f"{split}.sst")
    return {name: {"source": sources} for name, sources in splits.items()}


def intent_slots(folder: Path) -> dict[str, object]:
    sources = {}
    for seed, split in enumerate(("train", "test")):
        rows = [[line.split(" ") for line in sentence.split("\n")] for sentence in entities(120, seed).strip().split("\n\n")]
        (folder / split).mkdir()
        (folder / split / "seq.in").write_text("".join(" ".join(token for token, _ in row) + " \n" for row in rows))
        (folder / split / "seq.out").write_text("".join(" ".join(tag for _, tag in row) + " \n" for row in rows))
        (folder / split / "label").write_text("".join(("See" if len(row) % 2 else "Visit") + "\n" for row in rows))
        sources[split] = source(folder / split)
    return {"snips": {"source": sources}}


def reviews(folder: Path) -> dict[str, object]:
    datasets = {}
    for seed, name in enumerate(("films", "products")):
        rated = [line.split(",", 1) for line in ratings(150, seed).splitlines()[1:]]
        rows = [f"{number}\t{0.0 if number % 5 == 0 else rating}\t{text[1:-1]}\r\n" for number, (rating, text) in enumerate(rated)]
        (folder / f"{name}.txt").write_text("".join(rows))
        datasets[name] = {"source": source(folder / f"{name}.txt")}
    return datasets


def questions(path: Path, seed: int) -> dict[str, str]:
    """A SQuAD file in which the capitalised names of sentences are asked for; of every fifth question there is none."""
    articles = []
    for number, sentence in enumerate(entities(150, seed).strip().split("\n\n")):
        tagged = [line.split(" ") for line in sentence.split("\n")]
        context = " ".join(token for token, _ in tagged)
        name = next((token for token, tag in tagged if tag != "O"), "")
        answers = [{"text": name, "answer_start": context.index(name)}] if name and number % 5 else []
        question = {"id": str(number), "question": "Which name?" if answers else "Why?", "answers": answers}
        articles.append({"title": f"T{number}", "paragraphs": [{"context": context, "qas": [question]}]})
    path.write_text(json.dumps({"version": "v2.0", "data": articles}))
    return source(path)


def squad(folder: Path) -> dict[str, object]:
    return {"squad": {"source": {split: questions(folder / f"{split}.json", seed) for seed, split in enumerate(("train", "test"))}}}


def understanding(folder: Path) -> dict[str, object]:
    texts = sentences(5)
    marked = [f"<e1>{text[0]}</e1> {' '.join(text[1:-1])} <e2>{text[-1]}</e2>" for text in texts]
    pq.write_table(pa.table({"sentence": marked, "relation": [len(text) % 19 for text in texts]}), folder / "semeval.parquet")
    stsb = {}
    for seed, split in enumerate(("train", "test")):
        texts = sentences(seed)
        pairs = {"sentence1": [" ".join(text) for text in texts], "sentence2": [" ".join(text[::-1]) for text in texts]}
        pq.write_table(pa.table({**pairs, "score": [len(text) / 20 for text in texts]}), folder / f"{split}.parquet")
        stsb[split] = source(folder / f"{split}.parquet")
    more = {"semeval": source(folder / "semeval.parquet"), "stsb": stsb, "squad": questions(folder / "squad.json", 3)}
    return conll_sst2(folder) | {name: {"source": sources} for name, sources in more.items()}


def chinese(folder: Path) -> dict[str, object]:
    """Messages of characters with their places in a word, and reviews, of a few words each."""
    names, words = ["王小明", "李丽", "张伟"], ["昨天", "在餐馆", "吃饭", "觉得", "服务", "很快", "态度"]

    def chosen(number: int) -> list[str]:
        return [words[number * 5 // 7**place % 7] for place in range(4)]

    weibo = {}
    for split, numbers in (("train", range(120)), ("test", range(300, 340))):
        lines = []
        for number in numbers:
            for piece in [names[number % 3], *chosen(number)]:
                tags = [f"{'I' if place else 'B'}-PER.NAM" if piece in names else "O" for place in range(len(piece))]
                lines += [f"{character}{place}\t{tag}" for place, (character, tag) in enumerate(zip(piece, tags, strict=True))]
            lines.append("")
        (folder / f"{split}.conll").write_text("\n".join(lines) + "\n")
        weibo[split] = source(folder / f"{split}.conll")
    rows = [f"{number % 2},{''.join(chosen(number))}味道{'不好' if number % 2 else '很好'}" for number in range(150)]
    (folder / "waimai.csv").write_text("label,review\n" + "\n".join(rows) + "\n")
    return {"weibo": {"source": weibo}, "waimai": {"source": source(folder / "waimai.csv")}}


def generation(folder: Path) -> dict[str, object]:
    sources: dict[str, dict[str, object]] = {"captions": {}, "dialogues": {}, "meetings": {}}
    for seed, split in enumerate(("train", "validation", "test")):
        texts = [" ".join(text) for text in sentences(seed)]
        turns = [texts[i : i + 3] for i in range(0, len(texts), 3)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps({"en": text, "de": text.title()}) + "\n" for text in texts))
        labels = {name: [[i % 3 + 1 for i in range(len(own))] for own in turns] for name in ("act", "emotion")}
        pq.write_table(pa.table({"dialog": turns, **labels}), folder / f"{split}.parquet")
        rows = "".join(f'{i},"#1: {own[0]}\n#2: {own[-1]}","{own[0]}"\n' for i, own in enumerate(turns))
        (folder / f"{split}.csv").write_text(f"id,dialogue,summary\n{rows}")
        for name, suffix in (("captions", "jsonl"), ("dialogues", "parquet"), ("meetings", "csv")):
            sources[name][split] = source(folder / f"{split}.{suffix}")
    rated = [line.split(",", 1) for line in ratings(150, 5).splitlines()[1:]]
    (folder / "tweets.tsv").write_text("".join(f"{number}\t{rating}\t{text[1:-1]}\n" for number, (rating, text) in enumerate(rated)))
    return {name: {"source": own} for name, own in (sources | {"tweets": source(folder / "tweets.tsv")}).items()}


def sentences(seed: int) -> list[list[str]]:
    """Tokens of sentences."""
    return [[line.split(" ")[0] for line in sentence.split("\n")] for sentence in entities(150, seed).strip().split("\n\n")]


def tweets(folder: Path) -> dict[str, object]:
    (folder / "ner.txt").write_text(entities(150, 1).replace(" ", "\t"))
    rated = [line.split(",", 1) for line in ratings(150, 5).splitlines()[1:]]
    (folder / "tweets.tsv").write_text("".join(f"{number}\t{rating}\t{text[1:-1]}\n" for number, (rating, text) in enumerate(rated)))
    return {"tweets_sentiment": {"source": source(folder / "tweets.tsv")}, "tweets_entities": {"source": source(folder / "ner.txt")}}


TASKS = {"chinese": 2, "conll_sst2": 2, "generation": 6, "intent_slots": 2, "reviews": 2, "squad": 1, "tweets": 3, "understanding": 5}
SAMPLES = [chinese, conll_sst2, generation, intent_slots, reviews, squad, tweets, understanding]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.__name__)
def test_an_example_runs_on_a_sample(sample, tiny_bert: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    project = Project.make(tmp_path / "project")
    (tmp_path / "sample").mkdir()
    datasets = sample(tmp_path / "sample")
    small: dict[str, object] = {"train": {"epochs": 1, "eval_every": 10}, "evaluate": {"resamples": 100}, "augment": {"shards": 1}}
    if sample in (generation, squad, understanding):
        del small["augment"]
    if sample is not reviews:  # which shows that the other runs follow
        small["experiment"] = {"single_task": [], "joint": ["augmented" if "augment" in small else "plain"]}
    if sample is chinese:
        leaves = {"01=": ["餐馆", "饭馆"], "02=": ["昨天", "昨日"]}
        (tmp_path / "sample/tree.json").write_text(json.dumps({"A": {"sub": leaves}}))
        small["augment"] = {"shards": 1, "methods": {"synonym": {"tables": {"zh": source(tmp_path / "sample/tree.json")}}}}
    if sample is not reviews:
        small["encoder"] = {"source": source(tiny_bert), "max_length": 48} | ({"task_layers": 1} if sample is tweets else {})
    overrides = [f"{section}={json.dumps(value)}" for section, value in {"datasets": datasets, **small}.items()]
    project.run("snakemake", "--cores", "2", "--configfile", str(ROOT / f"examples/{sample.__name__}/params.yaml"), "--config", *overrides)
    metrics = json.loads((project.folder / "data/results/metrics.json").read_text())
    assert len(metrics.keys() - {"score", "delta_m", "raw_text"}) == TASKS[sample.__name__]
    assert ("raw_text" in metrics) == (sample in (chinese, conll_sst2, intent_slots, tweets, understanding))  # whose tasks have tags
    assert ("delta_m" in metrics) == (sample is reviews)
    assert (project.folder / "data/report/report.html").stat().st_size > 10_000


def test_every_example_is_run() -> None:
    assert {path.name for path in (ROOT / "examples").iterdir()} == set(TASKS)
