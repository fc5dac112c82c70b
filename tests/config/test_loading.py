"""Settings: what is accepted, and that every issue is told at once with its path and the choices."""

import copy
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import mtl.config
from mtl import plugins
from mtl.errors import ParamsError

ROOT = Path(__file__).parents[2]
TWEETS = "datasets.tweets_sentiment"
ENCODINGS = ("latin-9000", "rot13", "base64", "punycode", "utf-16", "cp037")
"""No encoding, encodings of something else than texts, and those whose lines cannot be told apart by the byte LF."""
MODELS = {"type": "back_translate", "engine": "transformers", "forward": {"url": "a"}, "backward": {"url": "b"}}
SHIPPED = sorted([ROOT / "params.yaml", *ROOT.glob("examples/*/params.yaml")])


@pytest.fixture
def content() -> dict[str, Any]:
    return copy.deepcopy(mtl.config.read_yaml(ROOT / "examples/tweets/params.yaml"))


def issues(content: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ParamsError) as caught:
        mtl.config.parse(content)
    return {issue.key: issue.message for issue in caught.value.issues}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parent.name)
def test_shipped_files_are_valid(file: Path) -> None:
    params = mtl.config.load(file)
    assert mtl.config.parse(json.loads(mtl.config.dump(params))) == params


def set_(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        node = content
        *parents, key = path.split(".")
        for parent in parents:
            node = node[parent]
        node[key] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "key", "message"),
    [
        ("train.lr", 1, "train.lr", "unknown key"),
        ("train.learning_rate", "fast", "train.learning_rate", "should be a valid number.*'fast'"),
        ("train.learning_rate", 0, "train.learning_rate", "greater than 0, not 0"),
        ("encoder", {"type": "cnn", "layers": 100_000}, "encoder.layers", "less than or equal to 64, not 100000"),
        (f"{TWEETS}.reader.columns", ["_", "text", "_", "text", "_*"], f"{TWEETS}.reader.columns", "column 'text' is named twice"),
        (f"{TWEETS}.split", {"train": 0, "test": 1}, f"{TWEETS}.split.train", "greater than 0, not 0"),
        ("train.precision", "fp8", "train.precision", "'auto', 'fp32', 'tf32', 'bf16' or 'fp16', not 'fp8'"),
        ("train.optimizer", "rmsprop", "train.optimizer", "'rmsprop' is unknown; choose from: 'adam', 'adamw', 'sgd', 'sgdw'"),
        ("train.optimizer", {"type": "sgd", "betas": [0.9, 0.999]}, "train.optimizer.betas", "unknown key"),
        ("train.optimizer", {"type": "adam", "betas": [0.9, 1]}, "train.optimizer.betas.1", "less than 1, not 1"),
        ("train.optimizer", {"momentum": 0.9}, "train.optimizer", "'type' is required"),
        ("train.schedule", "step", "train.schedule", "'linear', 'cosine' or 'constant', not 'step'"),
        ("train.layer_decay", 0, "train.layer_decay", "greater than 0, not 0"),
        ("train.freeze_layers", -1, "train.freeze_layers", "greater than or equal to 0, not -1"),
        ("train.micro_batch_tokens", 8, "train.micro_batch_tokens", "greater than or equal to 16, not 8"),
        ("train.stop", "never", "train.stop", "'together' or 'each', not 'never'"),
        ("train.score", "f1", "train.score", "choose from: mean, entities, sentiment, intensity"),
        ("tasks.sentiment.weight", 0, "tasks.sentiment.weight", "greater than 0, not 0"),
        (
            "tasks.sentiment.datasets",
            ["films"],
            "tasks.sentiment.datasets",
            "'films' is not a dataset; choose from: tweets_sentiment, tweets_entities",
        ),
        ("tasks.sentiment.datasets", ["tweets_entities"], "tasks.sentiment.label", "no label 'sentiment'; choose from: entities"),
        (
            "tasks.sentiment.label",
            "mood",
            "tasks.sentiment.label",
            "no dataset has a label 'mood'; choose from: entities, intensity, sentiment",
        ),
        ("tasks.sentiment.type", "regression", "tasks.sentiment.type", "is a class; choose classification"),
        ("tasks.joint", {"type": "regression", "label": "intensity"}, "tasks.joint", "choose another"),
        ("datasets.tweets_sentiment.split", {"train": 0.8, "test": 0.1}, "datasets.tweets_sentiment.split", "must be 1, not 0.9"),
        ("tasks.intensity.label_smoothing", 0.1, "tasks.intensity.label_smoothing", "unknown key"),
        (
            "datasets.tweets_sentiment.source",
            {"train": {"url": "a.tsv"}, "test": {"url": "b.tsv"}},
            "datasets.tweets_sentiment.split.test",
            "there is a source for this split",
        ),
        ("datasets.tweets_sentiment.split", None, "datasets.tweets_sentiment.split", "is required where there is one source"),
        ("datasets.tweets_sentiment.source.sha256", "abc", "datasets.tweets_sentiment.source.sha256", "should match pattern"),
        (
            "datasets.tweets_sentiment.labels.sentiment.column",
            "stars",
            "datasets.tweets_sentiment.labels.sentiment.column",
            "choose from: row, rating, text",
        ),
        (
            "datasets.tweets_sentiment.labels.sentiment.bins",
            {"a": [0, 2], "b": [1, 3]},
            "datasets.tweets_sentiment.labels.sentiment",
            "overlap",
        ),
        ("datasets.tweets_sentiment.reader.format", "xml", "datasets.tweets_sentiment.reader", "'xml' is unknown; choose from: 'conll'"),
        (f"{TWEETS}.labels.tokens", {"type": "number", "column": "rating"}, f"{TWEETS}.labels.tokens", "choose another"),
        ("tasks.score", {"type": "regression", "label": "intensity"}, "tasks.score", "choose another"),
        ("tasks.sentiment.datasets", [], "tasks.sentiment.datasets", "at least 1 item"),
        (f"{TWEETS}.source", {"dev": {"url": "a"}, "train": {"url": "b"}}, f"{TWEETS}.source.dev", "'train', 'validation' or 'test'"),
        (f"{TWEETS}.reader", {"format": "parallel", "files": {"text": "../a"}}, f"{TWEETS}.reader", "inside the source's folder"),
        (f"{TWEETS}.labels.sentiment.bins", {}, f"{TWEETS}.labels.sentiment.bins", "at least 1 item"),
        (f"{TWEETS}.encoding", ["utf-8", "utf-16"], f"{TWEETS}.encoding", "'utf-16' is not a text encoding"),
        (f"{TWEETS}.encoding", [], f"{TWEETS}.encoding", "at least 1 item"),
        (f"{TWEETS}.labels.sentiment.names", ["a", "b"], f"{TWEETS}.labels.sentiment", "give only one of values, names and bins"),
        (f"{TWEETS}.labels.sentiment.missing", "NA", f"{TWEETS}.labels.sentiment.missing", "should be a valid tuple"),
        (f"{TWEETS}.labels.sentiment.normalize", "nfd", f"{TWEETS}.labels.sentiment.normalize", "'nfc' or 'nfkc', not 'nfd'"),
        *((f"{TWEETS}.encoding", name, f"{TWEETS}.encoding", f"{name!r} is not a text encoding") for name in ENCODINGS),
        ("train.weight_decay", float("inf"), "train.weight_decay", "finite"),
        ("train.balancing", "norms", "train.balancing", "'norms' is unknown; choose from: 'static', 'pcgrad'"),
        ("train.balancing", {"type": "gradnorm", "beta": 1}, "train.balancing.beta", "unknown key"),
        ("train.balancing", {"type": "cagrad", "c": 2}, "train.balancing.c", "less than 1, not 2"),
        ("train.sampling", "fixed", "train.sampling.shares", "is required"),
        (
            "train.sampling",
            {"type": "fixed", "shares": {"films": 1, "tweets_sentiment": 1}},
            "train.sampling.shares.films",
            "choose from: tweets_sentiment, tweets_entities",
        ),
        (
            "train.sampling",
            {"type": "fixed", "shares": {"tweets_sentiment": 1}},
            "train.sampling.shares.tweets_entities",
            "is required",
        ),
        ("encoder.type", "bert", "encoder", "'bert' is unknown; choose from: 'transformer', 'encoder_decoder', 'fnn', 'cnn', 'rnn'"),
        ("augment.methods", {}, "augment.methods", "is empty, but experiment has augmented runs"),
        ("augment.methods.synonym.datasets", ["films"], "augment.methods.synonym.datasets", "choose from: tweets_sentiment"),
        (
            "augment.methods.synonym.fields",
            ["question"],
            "augment.methods.synonym.fields",
            "'question' is not a text field; choose from: text",
        ),
        (
            "augment.methods.typo",
            {"type": "typo", "datasets": ["tweets_sentiment"], "fields": []},
            "augment.methods.typo.datasets",
            "'tweets_sentiment' has none of the fields of augment.methods.typo.fields",
        ),
        (
            "augment.methods.mention",
            {"type": "mention_replace", "datasets": ["tweets_entities"], "fields": ["question"]},
            "augment.methods.mention.datasets",
            "changes ranges such as entities, and 'tweets_entities' in question has none that may be changed",
        ),
        ("augment.methods.back_translate.engine", "ctranslate2", "augment.methods.back_translate", "needs forward and backward models"),
        ("augment.methods.encoder", MODELS, "augment.methods.encoder", "the name is reserved for the download of the encoder"),
        ("augment.min_similarity", 1.5, "augment.min_similarity", "less than or equal to 1"),
        ("augment.methods.synonym.type", "shuffle", "augment.methods.synonym", "'shuffle' is unknown; choose from"),
        (
            "augment.methods.mention",
            {"type": "mention_replace", "datasets": ["tweets_sentiment"]},
            "augment.methods.mention.datasets",
            "has none",
        ),
        ("augment.methods.typo", {"type": "nlpaug:KeyboardAug", "rate": 1}, "augment.methods.typo.rate", "unknown key"),
        ("augment.methods.typo", {"type": "nlpaug:KeyboardAug", "copies": 0}, "augment.methods.typo.copies", "greater than or equal to 1"),
        ("augment.methods.typo", {"type": "nlpaug:"}, "augment.methods.typo.augmenter", "at least 1 character"),
        (
            "augment.methods.typo",
            {"type": "nlpaug:A", "augmenter": "A"},
            "augment.methods.typo",
            "in type .nlpaug:A. or in augmenter, not in both",
        ),
        (
            "tasks.sentiment.methods",
            {"typo": 1},
            "tasks.sentiment.methods",
            "'typo' is not a method of augment.methods; choose from: synonym, back_translate",
        ),
        (
            f"{TWEETS}.split",
            {"train": 0.5, "test": 0.5, "group_by": "author"},
            f"{TWEETS}.split.group_by",
            "'author' is not a column; choose from: text, near, row",
        ),
        ("experiment.sizes", [0, "all"], "experiment.sizes.0", "a number of rows, 1 or more, or all, not 0"),
        ("experiment.sizes", ["some", "all"], "experiment.sizes.0", "or all, not 'some'"),
        ("experiment.sizes", [50], "experiment.sizes", "must hold all"),
        ("experiment.sizes", [50, "all", 50], "experiment.sizes", "names 50 more than once"),
        ("experiment.seeds", [1, 2, 1], "experiment.seeds", "names 1 more than once"),
        ("tasks.delta_m", {"type": "regression", "label": "intensity"}, "tasks.delta_m", "choose another"),
        ("tasks.sentiment.methods", {"synonym": 0}, "tasks.sentiment.methods.synonym", "greater than or equal to 1, not 0"),
        ("train.epochs", 1e308, "train.epochs", "less than or equal to 100000, not 1e.308"),
        ("tasks.sentiment.weight", "inf", "tasks.sentiment.weight", "finite number, not 'inf'"),
        ("augment.share", float("nan"), "augment.share", "finite number, not nan"),
        ("tune", {"space": {"train.epochs": {"low": 1, "high": "x"}}}, "tune.space.train.epochs.high", "valid integer"),
        (f"{TWEETS}.text", 5, f"{TWEETS}.text", "valid string, not 5"),
        (f"{TWEETS}.text", ["a", "b", "c"], f"{TWEETS}.text", "at most 2 items"),
        ("seed", True, "seed", "should be a number, not true"),
        ("experiment.seeds", [2, True], "experiment.seeds.1", "should be a number, not true"),
        ("train.optimizer", {"type": "adam", "betas": [False, 0.9]}, "train.optimizer.betas.0", "should be a number, not false"),
        ("tasks.sentiment.methods", {"synonym": True}, "tasks.sentiment.methods.synonym", "should be a number, not true"),
    ],
)
def test_an_issue_is_told_with_its_path(content: dict[str, Any], path: str, value: Any, key: str, message: str) -> None:
    set_(path, value)(content)
    with pytest.raises(ParamsError, match=message):
        mtl.config.parse(content)
    assert key in issues(content)


def test_all_issues_are_told_at_once(content: dict[str, Any]) -> None:
    set_("train.lr", 1)(content)
    set_("tasks.sentiment.weight", -1)(content)
    set_("tasks.entities.datasets", ["nowhere"])(content)
    set_("datasets.tweets_sentiment.split", {"train": 0.5})(content)
    assert set(issues(content)) == {
        "train.lr",
        "tasks.sentiment.weight",
        "tasks.entities.datasets",
        "datasets.tweets_sentiment.split",
    }


def test_the_issues_of_a_type_that_is_new_are_told_with_the_path_in_the_file(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Novel(mtl.config.BaseEncoder):
        type: Literal["novel"]
        size: int

    class Extended(mtl.config.Params):
        encoder: Annotated[mtl.config.TransformerEncoder | Novel, Field(discriminator="type")]

    monkeypatch.setattr("mtl.config.loading.Params", Extended)
    set_("encoder", {"type": "novel", "size": "big"})(content)
    assert list(issues(content)) == ["encoder.size"]


def test_the_editors_schema_is_in_step() -> None:
    kept = (ROOT / "workflow/schemas/params.schema.json").read_text()
    assert json.loads(kept) == mtl.config.json_schema(), "run: python -m mtl schema > workflow/schemas/params.schema.json"


def test_settings_come_through_the_file_that_jobs_read(content: dict[str, Any], tmp_path: Path) -> None:
    content["report"]["title"] = "a\x85b \x7f \u2028 é 😀"
    content["datasets"]["tweets_sentiment"]["labels"]["sentiment"] = {"type": "class", "column": "rating", "values": {"x" * 3000: "y"}}
    params = mtl.config.parse(content)
    (tmp_path / "settings.json").write_text(mtl.config.dump(params))
    assert mtl.config.load(tmp_path / "settings.json") == params


def test_an_augmenter_of_nlpaug_can_be_named_in_the_type(content: dict[str, Any]) -> None:
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}

    def written(method: dict[str, Any]) -> mtl.config.Params:
        content["augment"]["methods"] = {"typo": {"copies": 2, "options": {"aug_char_p": 0.1}} | method}
        return mtl.config.parse(content)

    short, long = written({"type": "nlpaug:KeyboardAug"}), written({"type": "nlpaug", "augmenter": "KeyboardAug"})
    assert short == long
    assert mtl.config.dump(short) == mtl.config.dump(long)
    accepted = mtl.config.json_schema()["$defs"]["NlpaugInShort"]
    assert re.search(accepted["properties"]["type"]["pattern"], "nlpaug:KeyboardAug")
    assert accepted["properties"].keys() == {"type", "copies", "datasets", "fields", "pairs", "options"}
    assert {"$ref": "#/$defs/NlpaugInShort"} in mtl.config.json_schema()["$defs"]["Augment"]["properties"]["methods"]["patternProperties"][
        "^[a-z][a-z0-9_]*$"
    ]["anyOf"]


@pytest.mark.parametrize("section", ["balancing", "sampling"])
def test_a_name_is_short_for_a_type(content: dict[str, Any], section: str) -> None:
    name = {"balancing": "dwa", "sampling": "temperature"}[section]
    short = mtl.config.parse(content | {"train": content["train"] | {section: name}})
    assert short == mtl.config.parse(content | {"train": content["train"] | {section: {"type": name}}})
    assert getattr(short.train, section).temperature == 2.0


@pytest.mark.parametrize("balancing", sorted(mtl.config.UNWEIGHTED))
def test_balancing_without_a_place_for_weights_says_so(content: dict[str, Any], balancing: str) -> None:
    content["train"]["balancing"] = balancing
    for task in content["tasks"].values():
        task.pop("weight", None)
    mtl.config.parse(content)
    content["tasks"]["sentiment"]["weight"] = 2
    assert f"train.balancing {balancing} does not use weights" in issues(content)["tasks.sentiment.weight"]


def test_methods_that_need_tags_are_applied_to_data_sets_that_have_some(content: dict[str, Any]) -> None:
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    content["augment"]["methods"] = {"mention": {"type": "mention_replace"}, "typo": {"type": "typo"}}
    params = mtl.config.parse(content)
    assert list(params.methods_of("tweets_entities")) == ["mention", "typo"]
    assert list(params.methods_of("tweets_sentiment")) == ["typo"]


def test_methods_are_applied_to_the_fields_that_they_name(content: dict[str, Any]) -> None:
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    content["datasets"]["tweets_entities"] |= {"reader": {"format": "jsonl"}, "text": ["question", "context"]}
    content["datasets"]["tweets_entities"]["labels"]["entities"]["field"] = "context"
    content["augment"]["methods"] = {
        "mention": {"type": "mention_replace"},
        "typo": {"type": "typo"},
        "question": {"type": "typo", "fields": ["question"]},
        "pointless": {"type": "mention_replace", "fields": ["question"]},
    }
    params = mtl.config.parse(content)
    fields = {
        name: {method: params.fields_of(spec, name) for method, spec in params.methods_of(name).items()}
        for name in ("tweets_entities", "tweets_sentiment")
    }
    assert fields == {
        "tweets_entities": {"mention": ("context",), "typo": ("question", "context"), "question": ("question",)},
        "tweets_sentiment": {"typo": ("text",)},
    }


def test_no_method_puts_other_words_into_the_ranges_of_a_relation(content: dict[str, Any]) -> None:
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    content["augment"]["methods"] = {"mention": {"type": "mention_replace"}, "typo": {"type": "typo"}}
    content["datasets"]["tweets_entities"] |= {"reader": {"format": "jsonl"}}
    assert list(mtl.config.parse(content).methods_of("tweets_entities")) == ["mention", "typo"]
    labels = content["datasets"]["tweets_entities"]["labels"]
    labels["works_for"] = {"type": "relation", "column": "relation", "head": "person", "tail": "company"}
    assert list(mtl.config.parse(content).methods_of("tweets_entities")) == ["typo"]


def test_methods_that_may_break_what_two_texts_say_about_each_other_are_off(content: dict[str, Any]) -> None:
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    methods = {name: {"type": name} for name in plugins.names(plugins.AUGMENTERS)}
    methods["nlpaug"] = {"type": "nlpaug:AntonymAug"}
    content["augment"]["methods"] = methods
    content["datasets"]["tweets_sentiment"] |= {"text": {"premise": "row", "hypothesis": "text"}}
    kept = {"back_translate", "insert_punctuation", "look_alike", "number_form", "script", "synonym", "typo"}
    assert set(mtl.config.parse(content).methods_of("tweets_sentiment")) == kept
    content["augment"]["methods"] = {"delete": {"type": "delete", "datasets": ["tweets_sentiment"]}}
    message = issues(content)["augment.methods.delete.datasets"]
    assert "label 'sentiment' of 'tweets_sentiment' is about both of its texts" in message
    assert "delete may change what one says of the other; choose another method, or set pairs: true" in message
    content["augment"]["methods"]["delete"]["pairs"] = True
    params = mtl.config.parse(content)
    assert params.fields_of(params.augment.methods["delete"], "tweets_sentiment") == ("premise", "hypothesis")
    del content["augment"]["methods"]["delete"]["pairs"]
    for label in content["datasets"]["tweets_sentiment"]["labels"].values():
        label["field"] = "hypothesis"
    assert list(mtl.config.parse(content).methods_of("tweets_sentiment")) == ["delete"]  # its labels are about one text each


@pytest.mark.parametrize(
    ("task", "consistency", "key", "message"),
    [
        ("sentiment", {"methods": {"typo": 1}}, ".methods", "'typo' is not a method of augment.methods; choose from: "),
        ("sentiment", {"datasets": ["films"]}, ".datasets", "'films' is not a dataset; choose from: tweets_sentiment, "),
        ("sentiment", {"datasets": ["pairs"]}, ".datasets", "'pairs' has text fields left, right; those of 'tweets_sentiment' are text"),
        ("sentiment", {"datasets": ["tweets_sentiment"], "methods": {"mention_replace": 1}}, ".methods", "is applied to tweets_sentiment"),
        ("sentiment", {"temperature": 0}, ".temperature", "greater than 0, not 0"),
        ("summary", {}, "", "generation does not say how predictions are compared; only these do: classification, .*regression"),
        ("relation", {}, "", "relation_classification does not say how predictions are compared"),
    ],
)
def test_consistency_needs_a_comparison_rows_and_variants(
    content: dict[str, Any], task: str, consistency: Any, key: str, message: str
) -> None:
    content["augment"]["methods"] = {"synonym": {"type": "synonym"}, "mention_replace": {"type": "mention_replace"}}
    pairs = {"source": {"url": "p"}, "reader": {"format": "jsonl"}, "text": ["left", "right"], "split": {"train": 0.5, "test": 0.5}}
    marked = {**pairs, "text": "text", "marks": ["e1", "e2"]}
    content["datasets"]["pairs"] = {**pairs, "labels": {"both": {"type": "class", "column": "c"}}}
    content["datasets"]["marked"] = {
        **marked,
        "labels": {"relation": {"type": "relation", "column": "c", "head": "e1", "tail": "e2"}, "short": {"type": "text", "column": "s"}},
    }
    content["tasks"] |= {
        "summary": {"type": "generation", "label": "short"},
        "relation": {"type": "relation_classification", "label": "relation"},
    }
    content["tasks"][task]["consistency"] = consistency
    for spec in content["tasks"].values():
        spec.pop("methods", None)
    found = issues(content)
    assert re.search(message, found[f"tasks.{task}.consistency{key}"]), found


def test_a_dataset_without_labels_needs_a_task_that_learns_from_it(content: dict[str, Any]) -> None:
    content["datasets"]["more"] = {"source": {"url": "x"}, "reader": {"format": "jsonl"}}
    assert "no task has consistency" in issues(content)["datasets.more.labels"]
    content["tasks"]["sentiment"]["consistency"] = {}
    params = mtl.config.parse(content)
    assert params.unlabelled_of("sentiment") == ("tweets_sentiment", "more")
    assert params.used_datasets(["sentiment"]) == ("tweets_sentiment", "more")
    assert params.unlabelled_of("entities") == ()
    content["datasets"]["more"]["split"] = {"train": 0.9, "test": 0.1}
    assert "without labels all rows are train rows" in issues(content)["datasets.more.split"]
    del content["datasets"]["more"]["split"]
    content["experiment"] = {"joint": ["plain"], "single_task": []}
    assert "which only augmented runs have" in issues(content)["tasks.sentiment.consistency"]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "sgdw"])
def test_an_optimizer_is_a_name_or_a_mapping(content: dict[str, Any], name: str) -> None:
    found = []
    for value in (name, {"type": name}):
        content["train"]["optimizer"] = value
        found.append(mtl.config.parse(content))
    assert found[0] == found[1]
    assert found[0].train.optimizer.type == name
    assert mtl.config.parse(json.loads(mtl.config.dump(found[0]))) == found[0]


def test_a_task_without_test_rows_is_told_before_it_is_trained(content: dict[str, Any]) -> None:
    assert mtl.config.issues(mtl.config.parse(content)) == []
    content["datasets"]["tweets_sentiment"]["split"] = {"train": 0.7, "validation": 0.3}
    issues = mtl.config.issues(mtl.config.parse(content))
    assert [issue.key for issue in issues] == ["tasks.sentiment", "tasks.intensity"]


def test_a_task_that_selects_the_weights_needs_validation_rows(content: dict[str, Any]) -> None:
    content["train"]["score"] = "entities"
    assert mtl.config.checks.scoring_issues(mtl.config.parse(content)) == []
    content["datasets"]["tweets_entities"]["split"] = {"train": 0.7, "test": 0.3}
    [issue] = mtl.config.checks.scoring_issues(mtl.config.parse(content))
    assert issue.key == "train.score"
    assert "no validation rows by which task entities could select the weights: give tweets_entities a share of validation" in issue.message


def test_runs_are_the_matrix(content: dict[str, Any]) -> None:
    content["experiment"] = {"seeds": [1, 2], "joint": ["augmented", "plain"], "single_task": ["plain"]}
    runs = mtl.config.parse(content).runs()
    assert len(runs) == 2 * (2 + 3)
    assert runs["single_sentiment-plain-2"].tasks == ("sentiment",)
    assert runs["joint-plain-1"].tasks == ("entities", "sentiment", "intensity")


def test_runs_of_fewer_rows_stand_beside_those_of_all(content: dict[str, Any]) -> None:
    content["experiment"] = {"seeds": [1, 2], "joint": ["augmented"], "single_task": []}
    before = mtl.config.parse(content).runs()
    content["experiment"]["sizes"] = [50, "all"]
    runs = mtl.config.parse(content).runs()
    assert list(runs) == ["joint-augmented-1-50", "joint-augmented-1", "joint-augmented-2-50", "joint-augmented-2"]
    assert (runs["joint-augmented-2-50"].seed, runs["joint-augmented-2-50"].size) == (2, 50)
    assert {name: runs[name] for name in before} == before


@pytest.mark.parametrize(
    ("groups", "sets"),
    [
        ("pairs", ["entities+sentiment", "entities+intensity", "sentiment+intensity"]),
        ("all", ["entities+sentiment", "entities+intensity", "sentiment+intensity"]),
        (
            [["sentiment", "entities"], ["intensity"], ["intensity", "sentiment", "entities"], ["entities", "sentiment"]],
            ["entities+sentiment"],
        ),
        ([], []),
    ],
)
def test_groups_are_trained_once_each(content: dict[str, Any], groups: Any, sets: list[str]) -> None:
    content["experiment"] = {"seeds": [1, 2], "sizes": [50, "all"], "joint": ["augmented", "plain"], "single_task": ["plain"]}
    before = mtl.config.parse(content).runs()
    content["experiment"]["groups"] = groups
    runs = mtl.config.parse(content).runs()
    assert list(runs) == [*before, *(f"group_{tasks}-plain-{seed}" for seed in (1, 2) for tasks in sets)]
    assert all(runs[f"group_{tasks}-plain-1"].tasks == tuple(tasks.split("+")) for tasks in sets)


def test_runs_without_the_target_have_only_the_first_seed(content: dict[str, Any]) -> None:
    content["experiment"] = {"seeds": [3, 1, 2], "joint": ["plain"], "single_task": ["plain"], "groups": "pairs"}
    every = mtl.config.parse(content).runs()
    content["experiment"]["target"] = "sentiment"
    runs = mtl.config.parse(content).runs()
    assert list(runs) == [name for name, run in every.items() if "sentiment" in run.tasks or run.seed == 3]
    assert sum(run.seed == 1 for run in runs.values()) == 4  # joint, single-task, two pairs


def test_a_second_phase_comes_after_its_first_with_the_same_seed(content: dict[str, Any]) -> None:
    phases = [{"first": ["intensity", "entities"], "then": "sentiment"}, {"first": ["entities"], "then": "sentiment"}]
    content["experiment"] = {"seeds": [1, 2], "joint": ["plain"], "single_task": ["plain"], "target": "sentiment"}
    before = mtl.config.parse(content).runs()
    content["experiment"]["phases"] = phases
    runs = mtl.config.parse(content).runs()
    seconds = {f"phases_{first}~sentiment-plain-{seed}": (first, seed) for seed in (1, 2) for first in ("entities+intensity", "entities")}
    assert set(runs) - set(before) == {*seconds, *(f"group_entities+intensity-plain-{seed}" for seed in (1, 2)), "single_entities-plain-2"}
    for name, (first, seed) in seconds.items():
        start = f"group_{first}-plain-{seed}" if "+" in first else f"single_{first}-plain-{seed}"
        assert (runs[name].start, runs[name].tasks, runs[name].seed) == (start, ("sentiment",), seed)
        assert list(runs).index(start) < list(runs).index(name)
        assert runs[start].start is None


def test_groups_and_phases_learn_from_data_that_single_task_runs_learn_from(content: dict[str, Any]) -> None:
    phases = [{"first": ["entities"], "then": "sentiment"}]
    content["experiment"] = {"joint": ["augmented"], "single_task": ["plain"], "groups": "pairs", "phases": phases}
    params = mtl.config.parse(content)
    assert params.compared_data == "plain"
    assert {run.data for run in params.runs().values() if run.model != "joint"} == {"plain"}


@pytest.mark.parametrize(
    ("experiment", "key", "message"),
    [
        ({"target": "topic"}, "experiment.target", "'topic' is not a task; choose from: entities, sentiment, intensity"),
        ({"groups": [["entities", "topic"]]}, "experiment.groups", "'topic' is not a task; choose from: entities, sentiment, intensity"),
        ({"groups": "pair"}, "experiment.groups", "must be pairs, all, or lists of tasks such as [[a, b], [a, c]], not 'pair'"),
        ({"groups": ["entities"]}, "experiment.groups", "must be pairs, all, or lists of tasks such as [[a, b], [a, c]], not ['entities']"),
        ({"groups": "pairs", "single_task": []}, "experiment.single_task", "groups are compared with single-task runs"),
        ({"phases": [{"first": ["topic"], "then": "entities"}]}, "experiment.phases", "'topic' is not a task; choose from: entities,"),
        ({"phases": [{"first": ["entities"], "then": "topic"}]}, "experiment.phases", "'topic' is not a task; choose from: entities,"),
        ({"phases": [{"first": ["entities"], "then": "entities"}]}, "experiment.phases", "'entities' is learned in both phases"),
        (
            {"phases": [{"first": "entities", "then": "intensity"}]},
            "experiment.phases",
            "must be a list such as [{first: [a, b], then: c}]",
        ),
        (
            {"phases": {"first": ["entities"], "then": "intensity"}},
            "experiment.phases",
            "must be a list such as [{first: [a, b], then: c}]",
        ),
        (
            {"phases": [{"first": ["entities"], "then": "intensity"}], "single_task": []},
            "experiment.single_task",
            "phases are compared with single-task runs",
        ),
    ],
)
def test_groups_must_name_tasks_and_have_something_to_compare_with(
    content: dict[str, Any], experiment: dict[str, Any], key: str, message: str
) -> None:
    content["experiment"] = experiment
    with pytest.raises(ParamsError) as caught:
        mtl.config.parse(content)
    (issue,) = caught.value.issues
    assert issue.key == key
    assert message in issue.message


def test_old_keys_are_told_their_new_names_all_at_once(content: dict[str, Any]) -> None:
    for dataset in content["datasets"].values():
        for label in dataset["labels"].values():
            label["kind"] = label.pop("type")
    content["experiment"]["alone"] = content["experiment"].pop("single_task")
    set_("train.lr", 1)(content)
    assert issues(content) == {
        "datasets.tweets_sentiment.labels.sentiment.kind": "is called type now; rename it",
        "datasets.tweets_sentiment.labels.intensity.kind": "is called type now; rename it",
        "datasets.tweets_entities.labels.entities.kind": "is called type now; rename it",
        "experiment.alone": "is called single_task now; rename it",
        "train.lr": "unknown key",
    }


def test_sections_with_defaults_may_be_left_out(content: dict[str, Any]) -> None:
    required = {"seed", "datasets", "tasks", "encoder"}
    small = {key: value for key, value in content.items() if key in required}
    small["tasks"] = {name: {key: value for key, value in task.items() if key != "methods"} for name, task in small["tasks"].items()}
    small["experiment"] = {"joint": ["plain"], "single_task": []}
    assert mtl.config.parse(small).train == mtl.config.Train()


def test_encodings_and_marks_of_missing_labels(content: dict[str, Any]) -> None:
    dataset = content["datasets"]["tweets_sentiment"]
    assert mtl.config.parse(content).datasets["tweets_sentiment"].encodings == ("utf-8",)
    for written, encodings in (("gbk", ("gbk",)), (["utf-8", "cp1252"], ("utf-8", "cp1252"))):
        dataset["encoding"] = written
        assert mtl.config.parse(content).datasets["tweets_sentiment"].encodings == encodings
    dataset["labels"]["intensity"]["missing"] = ["NA", -1, 2.5]
    assert mtl.config.parse(content).datasets["tweets_sentiment"].labels["intensity"].missing == ("NA", "-1", "2.5")


@pytest.mark.parametrize("empty", [{}, None])
@pytest.mark.parametrize("section", ["augment", "train", "experiment", "evaluate", "report"])
def test_an_empty_section_is_one_that_is_left_out(content: dict[str, Any], section: str, empty: Any) -> None:
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    content["experiment"] = {}
    left_out = {key: value for key, value in content.items() if key != section}
    assert mtl.config.parse(content | {section: empty}) == mtl.config.parse(left_out)


def test_without_methods_the_runs_are_on_plain_data(content: dict[str, Any]) -> None:
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    assert {run.data for run in mtl.config.parse(content | {"experiment": {}}).runs().values()} == {"augmented", "plain"}
    content["augment"] = {}
    runs = mtl.config.parse(content | {"experiment": {"seeds": [1, 2]}}).runs()
    assert {(run.model, run.data) for run in runs.values()} == {(model, "plain") for model in ("joint", *content["tasks"])}
    assert "is empty, but" in issues(content | {"experiment": {"joint": ["augmented"]}})["augment.methods"]


def test_a_bin_may_be_open(content: dict[str, Any]) -> None:
    bins = {"bad": [-math.inf, 0], "good": [0, math.inf]}
    set_(f"{TWEETS}.labels.sentiment.bins", bins)(content)
    params = mtl.config.parse(content)
    assert mtl.config.parse(json.loads(mtl.config.dump(params))) == params


def test_two_text_fields_are_columns_by_name_or_a_list(content: dict[str, Any]) -> None:
    dataset = content["datasets"]["tweets_sentiment"]
    dataset["reader"] = {"format": "csv"}
    dataset["text"] = {"premise": "sentence1", "hypothesis": "sentence2"}
    params = mtl.config.parse(content)
    assert params.datasets["tweets_sentiment"].fields == {"premise": "sentence1", "hypothesis": "sentence2"}
    assert params.datasets["tweets_sentiment"].field_of("intensity") == "premise"
    dataset["text"] = ["question", "context"]
    assert mtl.config.parse(content).datasets["tweets_sentiment"].fields == {"question": "question", "context": "context"}
    content["datasets"]["more"] = copy.deepcopy(dataset) | {"text": "question"}
    assert "'more' has text fields text" in issues(content)["tasks.sentiment.datasets"]
    del content["datasets"]["more"]
    dataset["text"] = ["a", "b", "c"]
    assert "at most 2" in issues(content)["datasets.tweets_sentiment.text"]
    dataset["text"] = {"a": "x", "b": "y"}
    dataset["labels"]["intensity"]["field"] = "c"
    assert issues(content) == {"datasets.tweets_sentiment.labels.intensity.field": "'c' is not a text field; choose from: a, b"}
