"""A model's card: the hub's own parser reads it, and its figures and checksums are those of the model."""

import hashlib
import importlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from ruamel.yaml import YAML

from mtl import plugins
from mtl.config import Params, parse
from mtl.evaluation.predictions import predict_run
from mtl.evaluation.results import evaluate
from mtl.jobs import card_run, train_run
from mtl.model.card import NAME, Score, card, front_matter, leaks
from mtl.names import ACROSS_DATASETS
from report.conftest import settings, write_examples, write_shards


class Trained:
    """A real, tiny model with its card."""

    def __init__(self, data: Path) -> None:
        train_settings = {"epochs": 0.5, "eval_every": 10}
        encoder = {"type": "fnn", "width": 8}
        self.params: Params = settings(
            train=train_settings, encoder=encoder, evaluate={}, experiment={"joint": ["augmented"], "single_task": []}
        )
        self.data = data
        for dataset in self.params.datasets:
            write_shards(data, dataset, write_examples(data, dataset))
        [self.run] = self.params.runs().values()
        self.folder = data / "models" / self.run.name
        self.folder.mkdir(parents=True)
        train_run(self.params, self.run.name, data, self.folder)
        predict_run(self.params, self.run, self.folder, data / "examples", data / "predictions")
        self.text = self.card(self.params)

    def card(self, params: Params, run: str = "", data: Path | None = None) -> str:
        """The card of this model, or of the same files under the name of another run, as the job writes it."""
        name, data = run or self.run.name, data or self.data
        folder = data / "models" / name
        if not folder.exists():
            shutil.copytree(self.folder, folder)
            shutil.copy(self.data / "predictions" / f"{self.run.name}.parquet", data / "predictions" / f"{name}.parquet")
        card_run(params, name, data, folder)
        return (folder / NAME).read_text()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where live metrics go
        return Trained(folder / "data")


def front(text: str) -> Any:
    _, content, _ = text.split("---\n", 2)
    return YAML(typ="safe", pure=True).load(content)


def test_the_front_matter_holds_what_the_hub_asks_for(trained: Trained) -> None:
    content = front(trained.text)
    assert content["license"] == "unknown"
    assert content["datasets"] == ["notes_sentiment", "notes_entities"]
    assert content["tags"] == ["multi-task-learning", "token-classification", "text-classification"]
    assert content["metrics"][:2] == ["f1", "precision"]
    [model] = content["model-index"]
    assert model["name"] == "joint-augmented-1"
    assert [result["task"]["name"] for result in model["results"]] == ["entities", "sentiment", "intensity"]


def test_it_says_what_8_bits_change(trained: Trained, tmp_path: Path) -> None:
    assert "int8" not in trained.text.split("```")[0]  # an encoder that has no such products
    data = shutil.copytree(trained.data, tmp_path / "data")
    folder = data / "models" / trained.run.name
    facts = json.loads((folder / "run.json").read_text()) | {"int8": {"sentiment": {"metric": "macro_f1", "fp32": 0.75, "int8": 0.7425}}}
    (folder / "run.json").write_text(json.dumps(facts))
    card_run(trained.params, trained.run.name, data, folder)
    assert "| sentiment | macro_f1 | 0.7500 | 0.7425 | -0.0075 |" in (folder / NAME).read_text()


def test_it_says_how_calibrated_the_confidences_are(trained: Trained) -> None:
    config = json.loads((trained.folder / "config.json").read_text())
    assert "expected calibration error, 15 bins of equal width" in trained.text
    temperature = config["tasks"]["sentiment"]["state"]["temperature"]
    assert re.search(rf"\| sentiment \| {temperature:.3f} \| 0\.\d{{4}} \| 0\.\d{{4}} \| 80 \|", trained.text)


def test_the_hub_reads_the_scores_that_evaluate_writes(trained: Trained) -> None:
    (trained.data / "results").mkdir()
    evaluate(trained.params, trained.data / "models", trained.data / "predictions", trained.data / "results")
    tasks = json.loads((trained.data / "results" / "comparisons.json").read_text())["runs"][trained.run.name]["tasks"]
    results = ModelCard(trained.text).data.eval_results
    assert results
    expected = {(task, name): metric for task, content in tasks.items() for name, metric in content["metrics"].items()}
    assert len(results) == len(expected)
    for result in results:
        metric = expected[result.task_name, str(result.metric_name).split()[0]]
        assert result.metric_value == pytest.approx(metric["value"], abs=5.1e-5)
        assert f"interval {metric['low']:.4f} to {metric['high']:.4f}" in str(result.metric_name)
        assert f"| {metric['value']:.4f} | {metric['low']:.4f} to {metric['high']:.4f} | 80 |" in trained.text


def test_checksums_and_settings_are_those_of_the_model(trained: Trained) -> None:
    for path in (trained.folder / "model.safetensors", trained.data / "examples" / "notes_entities.parquet"):
        assert f"| `{path.name}` | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in trained.text
    assert "`https://example.org/notes.tsv`" in trained.text
    assert '"width": 8' in trained.text
    assert "Methods: `synonym`, `back_translate`." in trained.text


def test_methods_and_shards_are_those_that_the_run_learnt_from(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = trained.params.model_dump(mode="json")
    content["augment"]["methods"]["swap_names"] = {"type": "mention_replace"}
    content["tasks"]["sentiment"]["methods"] = {"synonym": 1}
    content["tasks"]["intensity"]["methods"] = {}
    content["experiment"] = {"joint": ["augmented"], "single_task": ["augmented"], "sizes": [20, "all"]}
    params = parse(content)

    shutil.copytree(trained.data, tmp_path / "data")
    for name in ("joint-augmented-1-20", "single_sentiment-augmented-1", "single_intensity-augmented-1"):
        shutil.copytree(trained.folder, tmp_path / "data/models" / name)
    monkeypatch.setattr("mtl.evaluation.scores.scores_of", lambda *_: [])  # the weights are not those of these runs

    def methods(run: str) -> str:
        [line] = [line for line in trained.card(params, run, tmp_path / "data").splitlines() if "Methods:" in line]
        return line.partition("Methods: ")[2]

    assert methods("joint-augmented-1") == "`synonym`, `back_translate`, `swap_names`."
    assert methods("joint-augmented-1-20") == "`synonym`, `back_translate`."  # others hold words of rows that such a run must not know
    assert methods("single_sentiment-augmented-1") == "`synonym`."
    assert methods("single_intensity-augmented-1") == "none."
    for run, names in (("single_sentiment-augmented-1", ["notes_sentiment"] * 2), ("single_intensity-augmented-1", [])):
        assert re.findall(r"`(notes_\w+)-\d+-of-00002", trained.card(params, run, tmp_path / "data")) == names


HOSTILE = ["`", "a`b``c", "` <img src=x> `", "</script>", "a|b", "a\nb", "# x", "[x](javascript:1)", "---"]


def test_names_of_classes_stay_code(trained: Trained) -> None:
    facts, config = (json.loads((trained.folder / name).read_text()) for name in ("run.json", "config.json"))
    config["tasks"]["sentiment"]["state"]["classes"] = HOSTILE
    config["tasks"]["entities"]["state"]["tags"] = ["O", *(f"B-{name}" for name in HOSTILE)]
    text = card(trained.params, trained.run, facts, config, [], [])
    assert front(text)["license"] == "unknown"
    cells = [
        re.split(r"(?<!\\)\|", row)[3].replace("\\|", "|") for row in text.splitlines() if re.match(r"\| (sentiment|entities) \|", row)
    ]
    expected = [" ".join(name.split()) for name in HOSTILE]
    assert [code_spans(cell) for cell in cells] == [expected, expected]


def code_spans(text: str) -> list[str]:
    """The code of a line of Markdown, as CommonMark defines it; nothing else may stand between the commas."""
    spans = re.findall(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", text)
    assert not set(re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", text).removeprefix(" entities:")) - set(", ")
    return [code.removeprefix(" ").removesuffix(" ") if code.strip() else code for _, code in spans]


def test_held_out_texts_in_train_are_counted_of_the_same_and_of_other_datasets(trained: Trained) -> None:
    assert "| held-out texts of | in train of | tasks that learn from both | test, same | test, nearly | validation, same |" in trained.text
    assert "| notes_sentiment | notes_sentiment | sentiment, intensity | 1 | 0 | 0 | 1 |" in trained.text
    assert "| notes_sentiment | notes_entities | none | 2 | 0 | 0 | 1 |" in trained.text
    across = json.loads((trained.data / "examples" / ACROSS_DATASETS).read_text())
    assert leaks(trained.params, trained.run, {"notes_entities": {}}, across) == []  # a run of another task learns from none of it


def test_same_model_same_bytes(trained: Trained) -> None:
    assert trained.card(trained.params) == trained.text


def test_a_job_that_was_stopped_when_all_was_written_does_not_train_again(trained: Trained) -> None:
    before = (trained.folder / "run.json").stat().st_mtime_ns
    train_run(trained.params, trained.run.name, trained.data, trained.folder)
    assert (trained.folder / "run.json").stat().st_mtime_ns == before
    assert not (trained.folder / "checkpoint").exists()


LABELS = {
    "class": {},
    "number": {},
    "tags": {},
    "spans": {},
    "classes": {},
    "relation": {"head": "head", "tail": "tail"},
    "answers": {"field": "context"},
    "text": {},
}


@pytest.mark.parametrize("type_", plugins.names(plugins.TASKS))
def test_the_hub_accepts_the_card_of_every_task_type(type_: str) -> None:
    task_type, task = plugins.task_type(type_), plugins.settings_of(plugins.TASKS, type_)
    label = {"type": task.label_types[0], "column": "label", **LABELS[task.label_types[0]]}
    texts = {"text": ["question", "context"]} if task.second_field else {}
    split = {"train": 0.8, "validation": 0.1, "test": 0.1}
    dataset = {"source": {"url": "a"}, "reader": {"format": "jsonl"}, **texts, "labels": {"label": label}, "split": split}
    params = settings(datasets={"d": dataset}, tasks={"t": {"type": type_, "label": "label"}}, augment={}, experiment={"joint": ["plain"]})
    [run] = params.runs().values()
    scores = [Score("t", metric.name, 0.5, 0.4, 0.6, 10) for metric in task_type.all_metrics]
    loaded = ModelCard(f"---\n{front_matter(params, run, ['d'], scores, ['zh-Hans', 'en', 'zh'])}\n---\n# t")
    assert loaded.data.language == ["zh", "en"]
    assert loaded.data.pipeline_tag in loaded.data.tags
    importlib.import_module(f"huggingface_hub.inference._generated.types.{loaded.data.pipeline_tag.replace('-', '_')}")  # a task of the hub
    name, results = model_index_to_eval_results(loaded.data.to_dict()["model-index"])
    assert name == run.name
    assert len(results) == len(scores) == len({(*result.unique_identifier, result.metric_name) for result in results})
    assert {result.task_type for result in results} == {loaded.data.pipeline_tag}
    assert all(result.metric_type and 0 <= result.metric_value <= 1 for result in results)
    assert loaded.data.metrics == list(dict.fromkeys(result.metric_type for result in results))
