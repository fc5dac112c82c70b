"""The page: its claims are those of comparisons.json, it is safe, whole, offline, and fits small screens."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import MtlError
from mtl.report import datasets, figures, findings, task_views
from mtl.report import inputs as readers
from mtl.report.charts import bundle
from mtl.report.render import TOP_WARNINGS, render

CAUTION = " One seed: another training run may differ."
VOID = {"meta", "img", "br", "hr", "link", "input"}
OPEN_ENDED = {"th", "td"}  # may be left unclosed


class Element:
    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        joined = "".join(child if isinstance(child, str) else child.text for child in self.children)
        return re.sub(r"\s+", " ", joined).strip()

    def find(self, wanted: Callable[["Element"], bool]) -> list["Element"]:
        found = [self] if wanted(self) else []
        return found + [hit for child in self.children if isinstance(child, Element) for hit in child.find(wanted)]

    def by_class(self, name: str) -> list["Element"]:
        return self.find(lambda element: name in element.attributes.get("class", "").split())


class Page(HTMLParser):
    """Builds the tree, and fails on tags that do not match."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.root = Element("", {})
        self.stack = [self.root]
        self.feed(content)
        assert len(self.stack) == 1, f"not closed: {[element.tag for element in self.stack]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in OPEN_ENDED and self.stack[-1].tag in OPEN_ENDED:
            self.stack.pop()
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.stack[-1].children.append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.stack[-1].children.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self.stack[-1].tag in OPEN_ENDED and tag not in OPEN_ENDED:
            self.stack.pop()
        assert self.stack[-1].tag == tag, f"</{tag}> closes <{self.stack[-1].tag}>"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)


@pytest.fixture(scope="module")
def report(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    render(finished.params, finished.data, out)
    return out / "report.html"


@pytest.fixture(scope="module")
def page(report: Path) -> Element:
    return Page(report.read_text(encoding="utf-8")).root


@pytest.fixture(scope="module")
def comparisons(finished: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((finished.data / "results" / "comparisons.json").read_text())
    return content


def specs(element: Element) -> list[dict[str, Any]]:
    """The charts' specifications, in the order of the page."""
    found = element.find(lambda element: element.attributes.get("type") == "application/json")
    return [json.loads(str(script.children[0])) for script in found]


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_every_claim_of_the_summary_is_in_the_comparisons(page: Element, comparisons: dict[str, Any]) -> None:
    claims = page.by_class("claim")
    assert len(claims) == len(comparisons["comparisons"]) == 6
    for shown in claims:
        wanted = tuple(shown.attributes[f"data-{key}"] for key in ("kind", "within", "task"))
        [item] = [item for item in comparisons["comparisons"] if (item["kind"], item["within"], item["task"]) == wanted]
        assert shown.by_class("verdict")[0].text.endswith(f" {item['verdict']}")
        assert number(shown.by_class("amount")[0].text) == pytest.approx(item["difference"], abs=5.1e-4)
        low, high = map(number, shown.by_class("interval")[0].text.split(" to "))
        assert (low, high) == (pytest.approx(item["corrected_low"], abs=5.1e-4), pytest.approx(item["corrected_high"], abs=5.1e-4))
        excludes = item["corrected_low"] > 0 or item["corrected_high"] < 0
        assert shown.by_class("excludes")[0].text == ("excludes zero" if excludes else "includes zero")


def test_figures_count_the_intervals_that_exclude_zero(comparisons: dict[str, Any]) -> None:
    for figure in findings.differences(comparisons):
        mine = [item for item in comparisons["comparisons"] if item["task"] == figure.title]
        excluding = sum(item["corrected_low"] > 0 or item["corrected_high"] < 0 for item in mine)
        assert figure.note.startswith(f"{excluding} of {len(mine)} intervals exclude")
        assert figure.chart
        assert [row["name"] for row in figure.chart["datasets"]["rows"]] == [findings.pair_name(item) for item in mine]


def test_the_scores_on_the_cards_are_those_of_the_joint_run(page: Element, comparisons: dict[str, Any]) -> None:
    means = {group["task"]: group["mean"] for group in comparisons["groups"] if (group["model"], group["data"]) == ("joint", "augmented")}
    shown = {
        card.attributes["data-task"]: number(card.by_class("big")[0].find(lambda e: e.tag == "b")[0].text) for card in page.by_class("task")
    }
    assert shown == pytest.approx(means, abs=5.1e-4)


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (
            ("gained", "lost", "no difference shown"),
            f"Joint training: entities gained; sentiment lost; no difference shown for intensity.{CAUTION}",
        ),
        (("ahead", "behind", "ahead"), f"Joint training: entities and intensity ahead; sentiment behind.{CAUTION}"),
        (("gained", "gained", "gained"), f"Joint training: entities, sentiment and intensity gained.{CAUTION}"),
        (("no difference shown",) * 3, "Joint training: no difference shown for any of the 3 tasks; every interval includes zero."),
    ],
)
def test_the_lead_says_the_verdicts(project: Any, verdicts: tuple[str, ...], sentence: str) -> None:
    path = project.data / "results" / "comparisons.json"
    content = json.loads(path.read_text())
    joint = [item for item in content["comparisons"] if item["kind"] == "joint"]
    for item, verdict in zip(joint, verdicts, strict=True):
        item["verdict"] = verdict
    path.write_text(json.dumps(content))
    render(project.params, project.data, project.data)
    [lead] = Page((project.data / "report.html").read_text()).root.find(lambda element: element.attributes.get("data-lead") == "joint")
    assert lead.text == sentence


def test_of_five_unlike_tasks_each_dominated_one_is_named() -> None:
    higher = {"entities": True, "intent": True, "emotions": True, "relation": True, "stars": False}
    scores = {"entities": (0.1, 0.8), "intent": (0.9, 0.91), "emotions": (0.3, 0.5), "relation": (0.02, 0.6), "stars": (250.0, 80.0)}
    rows = [
        {"kind": "joint", "task": task, "first": joint, "second": single, "verdict": "no difference shown"}
        for task, (joint, single) in scores.items()
    ]
    about = {task: {"higher_is_better": better} for task, better in higher.items()}
    found = findings.balance({"comparisons": [row | {"within": "plain"} for row in rows], "tasks": about, "headline": "plain"})
    names = "entities (12 %), relation (3 %) and stars (32 %)"  # of an error, the single-task one as a share of the joint one
    assert found["finding"] == f"Dominated in joint training: {names} of the single-task score."
    assert found["style"] == "lost"


def test_a_dominated_task_is_called_so(project: Any) -> None:
    path = project.data / "results" / "comparisons.json"
    content = json.loads(path.read_text())
    next(item for item in content["comparisons"] if item["kind"] == "joint" and item["task"] == "entities")["first"] = 0.0
    path.write_text(json.dumps(content))
    render(project.params, project.data, project.data)
    assert "Dominated in joint training: entities (0 %)" in (project.data / "report.html").read_text()


def test_joint_training_is_judged_on_other_data_than_the_headlines_if_the_tasks_single_saw_only_those(project: Any) -> None:
    path = project.data / "results" / "comparisons.json"
    content = json.loads(path.read_text())
    for item in content["comparisons"]:
        if item["kind"] == "joint":
            item["within"] = "plain"
    path.write_text(json.dumps(content))
    render(project.params, project.data, project.data)
    shown = Page((project.data / "report.html").read_text()).root
    [lead] = shown.find(lambda element: element.attributes.get("data-lead") == "joint")
    assert lead.text.startswith("Joint training on plain data: ")
    assert "not compared" not in lead.text


@pytest.mark.parametrize(
    ("single", "sentence"),
    [
        (
            {"entities": 0.0, "sentiment": 0.75, "intensity": 0.6},
            "No task is dominated: every other task keeps at least 99 % of its single-task score (lowest: sentiment). "
            "entities scores 0 in single-task training, so no ratio is shown.",
        ),
        (
            {"entities": 0.0, "sentiment": 0.0, "intensity": 0.0},
            "entities, sentiment and intensity score 0 in single-task training, so no ratios are shown.",
        ),
        (
            {"entities": 0.75, "sentiment": 0.6, "intensity": 1.493},
            "Dominated in joint training: intensity (49 %) of the single-task score.",
        ),
    ],
)
def test_what_is_kept_of_a_score_single_is_not_rounded_up(single: dict[str, float], sentence: str) -> None:
    def item(task: str, second: float) -> dict[str, Any]:
        return {"kind": "joint", "within": "plain", "task": task, "first": 0.7464, "second": second, "verdict": "no difference shown"}

    tasks = {task: {"higher_is_better": True} for task in single}
    comparisons = {"headline": "plain", "tasks": tasks, "comparisons": [item(task, score) for task, score in single.items()]}
    assert findings.balance(comparisons)["finding"] == sentence


def test_a_choice_is_what_the_rows_have_white_space_and_all(page: Element) -> None:
    options = page.find(lambda element: element.tag == "option")
    assert len(options) > 8
    assert all("value" in option.attributes for option in options)


def test_words_beside_a_curve_are_of_the_headline_run(finished: Any) -> None:
    """Also where another joint run comes first."""
    inputs = readers.load(finished.params, finished.data)
    runs = inputs.comparisons["runs"]
    joint = "joint-augmented-1"
    turned = replace(inputs, comparisons=inputs.comparisons | {"runs": {name: runs[name] for name in reversed(runs)}})
    assert next(iter(turned.comparisons["runs"])) != joint
    for curves in (figures.loss_curves, figures.score_curves):
        assert [item.note for item in curves(turned, joint)] == [item.note for item in curves(inputs, joint)]


def test_all_rows_count_for_the_share_of_near_numbers(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = readers.load(finished.params, finished.data)
    [expected] = task_views.task_blocks(finished.params, inputs)["intensity"]
    monkeypatch.setattr(task_views, "CLOUD", 3)
    [found] = task_views.task_blocks(finished.params, inputs)["intensity"]
    assert found.note == expected.note
    assert found != expected


def test_foreign_text_is_shown_and_never_run(report: Path, page: Element) -> None:
    content = report.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(" in content
    assert not page.find(lambda element: element.tag in {"img", "iframe", "object", "link"})
    scripts = re.findall(r'<script type="module">(.*?)</script>', content, re.DOTALL)
    assert len(scripts) == len(page.find(lambda element: element.attributes.get("type") == "module")) == 4
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in content  # nothing else may run
    assert content.count("'sha256-") == 4
    assert content.count(bundle()) == 1
    assert "unsafe-eval" not in content
    others = page.find(lambda element: element.tag == "script" and element.attributes.get("type") != "module")
    assert {script.attributes["type"] for script in others} == {"application/json"}
    assert not page.find(lambda element: any(name.startswith("on") for name in element.attributes))
    own = content.replace(bundle(), "")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", own)
    assert "␀␛[31m⟨U+202E⟩gnp" in content
    assert "<h1>Notes &lt;b&gt;&amp; more&lt;/b&gt;</h1>" in content


def test_the_page_asks_for_nothing_else(report: Path, page: Element) -> None:
    content = report.read_text(encoding="utf-8")
    assert len(content.encode()) < 5_000_000
    assert "default-src 'none'" in content
    assert not re.search(r"@import|url\(", content.replace(bundle(), ""))
    assert not page.find(lambda element: bool({"src", "srcset"} & element.attributes.keys()))
    links = page.find(lambda element: element.tag == "a")
    ids = {element.attributes["id"] for element in page.find(lambda element: "id" in element.attributes)}
    assert {link.attributes["href"].removeprefix("#").partition("?")[0] for link in links} <= ids


AVOIDED = (
    r"pieces?|sums?|milestones?|alone|answers?|kinds?|told|drowned|luck|luckier|faults?|promises?|lest|whose|grown|data sets?|pulls?",
    r"written rows?|is no|are no|narrow|widen|variant\(s\)",
    r"1 (?:\w+ )?(?:rows|variants|runs|tasks|datasets|trials|seeds|checksums)",
)
"""The left column of the glossary, and wrong plurals."""


def misnomers(page: Element) -> list[str]:
    return [found for words in AVOIDED for found in re.findall(rf"(?<![\w.,])(?:{words})(?!\w)", visible_text(page), re.IGNORECASE)]


def test_words_are_those_of_the_field(page: Element) -> None:
    assert misnomers(page) == []
    assert misnomers(Page("<p>Alone, 1 kept variants gave an answer</p>").root) == ["Alone", "answer", "1 kept variants"]


def visible_text(element: Element) -> str:
    """The page's text, with labels for screen readers and the words of its charts, but without code, settings and data."""
    if element.tag in {"style", "pre"} or element.attributes.get("type") == "module":
        return ""
    if element.attributes.get("type") == "application/json":
        return " ".join(strings(json.loads(element.children[0])))
    inner = [child if isinstance(child, str) else visible_text(child) for child in element.children]
    return " ".join([element.attributes.get("aria-label", ""), *inner])


def strings(value: Any) -> list[str]:
    """Names of columns and all texts of a chart."""
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in [key, *strings(item)]]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else [str(value)]


def test_what_a_reader_looks_for_is_there(page: Element) -> None:
    text = page.text
    for wanted in (
        "Engine missing: no variants were produced.",
        "apt-get install apertium",
        "sha256 " + "ab" * 32,
        "7 100",
        "22 713 216",
        "torch 2.13.0",
    ):
        assert wanted in text
    assert len(page.by_class("heat")) == 1
    assert page.by_class("entity")
    charts = page.by_class("chart")
    assert len(charts) >= 20
    assert all(chart.attributes["role"] == "img" and chart.attributes["aria-label"] for chart in charts)


def test_the_calibration_error_is_shown_before_and_after(page: Element, comparisons: dict[str, Any]) -> None:
    found = comparisons["runs"]["joint-augmented-1"]["tasks"]["sentiment"]["calibration"]
    accuracy = comparisons["runs"]["joint-augmented-1"]["tasks"]["sentiment"]["metrics"]["accuracy"]["value"]
    assert found == {"confidences": 80, "before": pytest.approx(0.99 - accuracy), "after": pytest.approx(abs(0.82 - accuracy))}
    errors = f"{found['before']:.3f}{found['after']:.3f}80"
    rows = page.find(lambda element: element.tag == "tr" and element.text.startswith("sentimentjoint-augmented-1"))
    assert any(errors in row.text for row in rows)


def test_a_warning_of_several_runs_stands_once(page: Element, finished: Any) -> None:
    [listed] = page.by_class("warnings")
    [cut] = [line.text for line in listed.find(lambda element: element.tag == "li") if "3 rows were cut" in line.text]
    runs = [name for name, run in finished.params.runs().items() if run.model == "joint"]
    assert len(runs) > 1
    assert cut.startswith(", ".join(runs))


def test_warnings_of_the_data_cards_are_listed(page: Element, finished: Any) -> None:
    [listed] = page.by_class("warnings")
    [alike] = [line.text for line in listed.find(lambda element: element.tag == "li") if "look alike" in line.text]
    assert alike.startswith(", ".join(finished.params.datasets))


def test_warnings_are_at_the_top(page: Element) -> None:
    [top], [listed] = page.by_class("cautions"), page.by_class("warnings")
    lines = [[line.text for line in box.find(lambda element: element.tag == "li")] for box in (top, listed)]
    assert lines[0] == lines[1][:TOP_WARNINGS] != []


def test_a_method_that_keeps_few_variants_is_named(finished: Any, tmp_path: Path) -> None:
    inputs = readers.load(finished.params, finished.data)
    few = {"methods": {"synonym": {"made": 100, "kept": 8, "dropped": {"unchanged": 90, "duplicate": 2}, "note": None}}}
    many = {"methods": {"synonym": {"made": 100, "kept": 80, "dropped": {"unchanged": 20}, "note": None}}}
    counts = {"notes_sentiment": [few], "notes_entities": [many]}
    warned = dict(datasets.warnings(finished.params, replace(inputs, counts=counts)))
    message = "Keeps 8 % of its variants, so it changes little; most were dropped as unchanged."
    assert warned["notes_sentiment (synonym)"] == message
    assert "notes_entities (synonym)" not in warned


def test_runs_with_one_warning_are_named_once(finished: Any) -> None:
    inputs = readers.load(finished.params, finished.data)
    runs = {
        name: {**inputs.runs[next(iter(inputs.runs))], "warnings": ["Odd."]} for name in ("joint-plain-1", "joint-plain-2", "joint-plain-3")
    }
    warned = [where for where, what in datasets.warnings(finished.params, replace(inputs, runs=runs)) if what == "Odd."]
    assert warned == ["joint-plain-1 and 2 other seeds"]


@pytest.mark.parametrize(
    ("tasks", "target", "words"),
    [
        ("abc", None, ", so that all 3 comparisons hold together with 95 % confidence"),
        (
            "abb",
            "a",
            ", so that the comparison of a stands alone and the 2 comparisons of the other tasks hold together with 95 % confidence",
        ),
        ("a", "a", ""),
    ],
)
def test_what_the_correction_holds_together(tasks: str, target: str | None, words: str) -> None:
    about = {"target": target, "confidence": 0.95}
    assert findings.families(about, [{"task": task} for task in tasks]) == words


def test_the_keyboard_reaches_what_scrolls(page: Element) -> None:
    boxes = page.by_class("scroll")
    assert boxes
    assert all(box.attributes.get("tabindex") == "0" and box.attributes.get("aria-label") for box in boxes)


def test_same_input_same_bytes(finished: Any, report: Path, tmp_path: Path) -> None:
    render(finished.params, finished.data, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == report.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "name",
    [
        "results/comparisons.json",
        "predictions/joint-augmented-1.parquet",
        "examples/notes_entities.json",
        "examples/notes_entities.parquet",
        "shards/notes_sentiment-00001-of-00002.parquet",
        "models/joint-plain-1/run.json",
        "models/single_entities-augmented-1/history.jsonl",
    ],
)
def test_a_missing_file_is_named(project: Any, name: str) -> None:
    (project.data / name).unlink()
    with pytest.raises(MtlError, match=re.escape(Path(name).name)):
        render(project.params, project.data, project.data)


def test_optional_keys_may_be_absent(project: Any) -> None:
    for path in project.data.glob("models/*/run.json"):
        path.write_text(json.dumps({"run": path.parent.name}))
        (path.parent / "cost.json").unlink()
    for path in project.data.glob("examples/*.json"):
        path.write_text("{}")
    for path in project.data.glob("models/*/history.jsonl"):
        path.write_text("")
    render(project.params, project.data, project.data)
    Page((project.data / "report.html").read_text())


def test_unlike_versions_are_said_at_the_top(project: Any) -> None:
    path = project.data / "results" / "comparisons.json"
    groups = [{"versions": {"torch": version}, "runs": ["a"]} for version in ("2.12.1", "2.13.0")]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"versions": groups}))
    render(project.params, project.data, project.data)
    page = (project.data / "report.html").read_text()
    alert = page.index(
        "torch 2.12.1 in 1 of 2 runs; torch 2.13.0 in 1 of 2 runs. To train them alike: python -m mtl prune --other-versions"
    )
    assert alert < page.index('id="summary"')


def test_what_balancing_and_half_precision_recorded_is_shown(project: Any) -> None:
    history = project.data / "models" / "joint-augmented-1" / "history.jsonl"
    records = [json.loads(line) for line in history.read_text().splitlines()]
    for record in records:
        record |= {"cosine": {"entities|sentiment": -0.25, "intensity|sentiment": 0.5}, "loss_scale": 1024.0, "skipped": 2}
    history.write_text("".join(json.dumps(record) + "\n" for record in records))
    about = project.data / "models" / "joint-augmented-1" / "run.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"balance_cost": 1.234, "skipped": 2, "precision": "fp16"}))
    render(project.params, project.data, project.data)
    page = Page((project.data / "report.html").read_text()).root
    assert "Lowest mean: entities · sentiment, −0.25" in page.text
    assert "Balancing took 1.23 times the time of static weights per token in run joint-augmented-1." in page.text
    drawn = {chart.attributes["aria-label"].partition(".")[0] for chart in page.by_class("chart")}
    assert {"Tokens per second", "Loss scale of fp16", "Skipped steps of fp16"} <= drawn


def test_figures_of_what_was_not_recorded_are_left_out(page: Element) -> None:
    assert not any(name in page.text for name in ("Loss scale of fp16", "Gradient agreement", "Balancing took", "Search over settings"))


def test_a_search_is_shown_where_there_was_one(project: Any) -> None:
    (project.data / "tune").mkdir()
    trials = [{"number": i, "params": {"train.epochs": i}, "score": 0.5 + i / 10, "state": "COMPLETE"} for i in range(3)]
    (project.data / "tune" / "summary.json").write_text(json.dumps({"trials": trials, "best": 2}))
    render(project.params, project.data, project.data)
    [section] = Page((project.data / "report.html").read_text()).root.find(lambda element: element.attributes.get("id") == "search")
    assert "3 trials, 3 with a validation score; the best reached 0.700." in section.text
    assert "relative to trial 0" in section.text  # else a score above 1 is a riddle
    assert "2 (best)" in section.text


def test_checksums_are_those_of_the_files(page: Element, finished: Any) -> None:
    for name in ("examples/notes_entities.parquet", "shards/notes_sentiment-00001-of-00002.parquet", "models/joint-plain-1/run.json"):
        assert hashlib.sha256((finished.data / name).read_bytes()).hexdigest() in page.text


def test_every_kind_of_run_stands_in_the_matrix_with_its_interval(page: Element, comparisons: dict[str, Any]) -> None:
    [matrix] = page.by_class("matrix")
    for group in comparisons["groups"]:
        assert f"{group['mean']:.3f} ({group['low']:.3f} to {group['high']:.3f})" in matrix.text


def test_without_a_script_all_wrong_predictions_are_there(page: Element) -> None:
    [table] = page.find(lambda element: element.attributes.get("id") == "wrong")
    [form] = page.find(lambda element: element.attributes.get("id") == "filters")
    assert "hidden" in form.attributes
    assert not table.find(lambda element: "hidden" in element.attributes)
    assert len(table.find(lambda element: "data-pairs" in element.attributes)) > 100


def test_sizes_have_a_learning_curve_and_leave_the_rest_of_the_page_as_it_is(
    tmp_path: Path, make_project: Callable[..., Any], page: Element
) -> None:
    experiment = {"seeds": [1, 2], "sizes": [20, "all"], "joint": ["augmented", "plain"], "single_task": ["augmented"]}
    made = make_project(tmp_path / "made", experiment=experiment, train={"score_window": 4})
    render(made.params, made.data, made.data)
    shown = Page((made.data / "report.html").read_text()).root
    comparisons = json.loads((made.data / "results" / "comparisons.json").read_text())
    assert "no difference shown at any size" in shown.text or "gained with" in shown.text or "lost with" in shown.text
    [evidence] = shown.find(lambda element: element.attributes.get("id") == "evidence")
    curves = [chart for chart in evidence.by_class("chart") if "by train rows" in chart.attributes["aria-label"]]
    assert len(curves) == 3
    points = specs(evidence)[1]["datasets"]["rows"]
    assert [len({point["setting"] for point in points}), len(points)] == [3, 6]
    rows = [row.text for row in evidence.find(lambda element: element.tag == "tr")]
    assert len(rows) == 1 + len(comparisons["groups"]) == 1 + 2 * 9
    few = next(item for item in comparisons["groups"] if (item["task"], item["model"], item["size"]) == ("sentiment", "single", 20))
    assert any(f"{few['mean']:.3f}" in row and f"{few['sd']:.3f}" in row for row in rows)
    assert "budget of 300 updates, whatever its number of train rows" in evidence.text
    assert "keeps the weights with the best mean of the last 4 validation scores" in evidence.text
    assert len(shown.by_class("claim")) == len(page.by_class("claim"))
    assert "all 12 comparisons" in shown.text
    assert "joint vs single-task, augmented data, 20 rows" in shown.text


def test_experiments_of_other_shapes(tmp_path: Path, make_project: Callable[..., Any]) -> None:
    for name, experiment in {
        "one run": {"seeds": [1], "joint": ["plain"], "single_task": []},
        "all runs, two seeds": {"seeds": [1, 2], "joint": ["augmented", "plain"], "single_task": ["augmented", "plain"]},
    }.items():
        made = make_project(tmp_path / name, experiment=experiment)
        render(made.params, made.data, made.data)
        shown = Page((made.data / "report.html").read_text()).root
        assert ("Joint training: not compared" in shown.text) == (name == "one run")
        assert misnomers(shown) == []


def test_texts_that_another_dataset_trains_on_are_counted_shown_and_warned_of(page: Element) -> None:
    text = "3 held-out texts are in train of notes_entities, from which only other tasks learn: 2 exactly, 1 nearly."
    [shown] = page.find(lambda element: element.tag == "p" and text in element.text)
    assert "2 held-out texts are also in train, exactly or nearly." in shown.text
    assert page.find(lambda element: element.tag == "small" and element.text == "train of notes_entities")
    warned = [element.text for element in page.by_class("warnings")[0].find(lambda element: element.tag == "li")]
    assert f"notes_sentiment {text}" in warned
    assert "labels entities: classes or entity types with only 1 train label: band" in warned
