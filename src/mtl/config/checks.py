"""Checks across sections."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from mtl import plugins
from mtl.config.augment import AugmentMethod, BackTranslate, Tabled
from mtl.config.base import is_pattern
from mtl.config.datasets import RESERVED, Dataset, ParallelReader
from mtl.config.encoder import TransformerEncoder
from mtl.config.params import Params
from mtl.config.tasks import takes
from mtl.config.train import UNWEIGHTED, FixedSampling
from mtl.errors import Issue
from mtl.names import group_of


def relations(params: Params) -> list[Issue]:
    """Issues that lie between sections."""
    issues: list[Issue] = []
    names = ", ".join(params.datasets)
    for task, spec in params.tasks.items():
        for name in spec.datasets or ():
            if name not in params.datasets:
                issues.append(Issue(f"tasks.{task}.datasets", f"{name!r} is not a dataset; choose from: {names}"))
            elif spec.label not in params.datasets[name].labels:
                choices = ", ".join(params.datasets[name].labels)
                issues.append(Issue(f"tasks.{task}.label", f"dataset {name!r} has no label {spec.label!r}; choose from: {choices}"))
        if not params.datasets_of(task) and spec.datasets is None:
            choices = ", ".join(sorted({label for dataset in params.datasets.values() for label in dataset.labels}))
            issues.append(Issue(f"tasks.{task}.label", f"no dataset has a label {spec.label!r}; choose from: {choices}"))
        for name in params.datasets_of(task):
            label_type = params.datasets[name].labels[spec.label].type
            if label_type not in spec.label_types:
                fitting = ", ".join(_tasks_for(label_type)) or "none that is installed"
                message = f"label {spec.label!r} of {name!r} is a {label_type}; choose {fitting}, or change the label's type"
                issues.append(Issue(f"tasks.{task}.type", message))
        issues += _field_issues(params, task)
        issues += _consistency_issues(params, task)
    issues += _decoder_issues(params)
    for name, dataset in params.datasets.items():
        issues += _dataset_issues(name, dataset)
        if not dataset.labels and not params.keeps_unlabelled(name):
            issues.append(Issue(f"datasets.{name}.labels", "is required: no task has consistency, which learns from rows without labels"))
    for name, method in params.augment.methods.items():
        issues += _method_issues(params, name, method)
    issues += language_issues(params)
    if params.augment.min_similarity is not None and not isinstance(params.encoder, TransformerEncoder):
        found = f"encoder.type is {params.encoder.type!r}; choose transformer, or null for no such filter"
        issues.append(Issue("augment.min_similarity", f"needs a pretrained encoder, and {found}"))
    for task, spec in params.tasks.items():
        issues += _unknown_methods(params, f"tasks.{task}.methods", spec.methods)
    if params.train.score != "mean" and params.train.score not in params.tasks:
        issues.append(Issue("train.score", f"{params.train.score!r} is unknown; choose from: mean, {', '.join(params.tasks)}"))
    issues += _training_issues(params)
    for task in {"delta_m", "joint", "mean", "raw_text", "score", "text", "tokens"} & set(params.tasks):
        issues.append(Issue(f"tasks.{task}", "the name is reserved for a part of the results; choose another"))
    for key, values in (("seeds", params.experiment.seeds), ("sizes", params.experiment.sizes)):
        issues += [
            Issue(f"experiment.{key}", f"names {value} more than once") for value, times in Counter[Any](values).items() if times > 1
        ]
    issues += _group_issues(params)
    if "all" not in params.experiment.sizes:
        issues.append(Issue("experiment.sizes", "must hold all: the headline and `predict` use the runs on all rows"))
    if "augmented" in (*params.experiment.joint, *params.experiment.single_task) and not params.augment.methods:
        issues.append(Issue("augment.methods", "is empty, but experiment has augmented runs; name a method or leave only plain"))
    return issues


LONGEST_GROUP = 160
"""Characters of the tasks of a group together: files are named after them."""


def _group_issues(params: Params) -> list[Issue]:
    """A target, groups or phases of unknown tasks; groups with names that no file can have, or with no single-task runs to compare with."""
    wanted, phases = params.experiment.groups, params.experiment.phases
    named = [("groups", task) for group in wanted for task in group] if isinstance(wanted, tuple) else []
    named += [("phases", task) for item in phases for task in (*item.first, item.then)]
    unknown = [(key, task) for key, task in dict.fromkeys(named) if task not in params.tasks]
    issues = [Issue(f"experiment.{key}", f"{task!r} is not a task; choose from: {', '.join(params.tasks)}") for key, task in unknown]
    issues += [
        Issue("experiment.phases", f"{item.then!r} is learned in both phases; name other tasks under first")
        for item in phases
        if item.then in item.first
    ]
    together = [("groups", group) for group in params.groups()] + [("phases", (*item.first, item.then)) for item in phases]
    long = next(((key, group) for key, group in together if len(group_of(group)) > LONGEST_GROUP), None)
    if long:
        key, group = long
        issues.append(
            Issue(f"experiment.{key}", f"the names of {', '.join(group)} have more than {LONGEST_GROUP} characters; shorten them")
        )
    target = params.experiment.target
    if target is not None and target not in params.tasks:
        issues.append(Issue("experiment.target", f"{target!r} is not a task; choose from: {', '.join(params.tasks)}"))
    if (wanted or phases) and not params.experiment.single_task:
        what = "groups" if wanted else "phases"
        issues.append(Issue("experiment.single_task", f"is empty, but {what} are compared with single-task runs; name augmented or plain"))
    return issues


def _decoder_issues(params: Params) -> list[Issue]:
    """Decoders beside an encoder that has one, and unlike ones: all tasks that write share one."""
    issues: list[Issue] = []
    decoders = {name: spec.decoder for name, spec in params.writing.items() if spec.decoder}
    for name, decoder in decoders.items():
        if params.encoder.has_decoder:
            message = f"must go: an encoder of type {params.encoder.type} has a decoder; encoder.target_length is its longest text"
            issues.append(Issue(f"tasks.{name}.decoder", message))
        elif decoder != params.decoder:
            first = next(iter(decoders))
            issues.append(
                Issue(f"tasks.{name}.decoder", f"differs from that of {first}; all tasks share one decoder: set it for one of them")
            )
    return issues


def _unknown_methods(params: Params, key: str, methods: Iterable[str] | None) -> list[Issue]:
    """Names that are no method of ``augment.methods``."""
    choices = ", ".join(params.augment.methods) or "(none)"
    unknown = [name for name in methods or () if name not in params.augment.methods]
    return [Issue(key, f"{name!r} is not a method of augment.methods; choose from: {choices}") for name in unknown]


def _field_issues(params: Params, task: str) -> list[Issue]:
    """The datasets of a task must have the same text fields, and its labels must be about the same one."""
    spec, label = params.tasks[task], params.tasks[task].label
    about = {name: (list(params.datasets[name].fields), params.datasets[name].field_of(label)) for name in params.datasets_of(task)}
    first = next(iter(about.values()), None)
    if spec.second_field and first is not None and first[0][1:] != [first[1]]:
        name = next(iter(about))
        message = f"{name!r} has text fields {', '.join(first[0])}, label about {first[1]}; {spec.type} needs two, label about the second"
        return [Issue(f"tasks.{task}.type", message)]
    return [
        Issue(f"tasks.{task}.datasets", f"{name!r} has text fields {', '.join(fields)}, label about {field}; the others differ")
        for name, (fields, field) in about.items()
        if (fields, field) != first
    ]


def _consistency_issues(params: Params, task: str) -> list[Issue]:
    """Consistency that a task type does not have, or for which there are no rows, variants or runs."""
    spec, key = params.tasks[task].consistency, f"tasks.{task}.consistency"
    if spec is None or not (own := params.datasets_of(task)):
        return []
    issues, fields = [], list(params.datasets[own[0]].fields)
    if not _compares(params.tasks[task].type):
        fitting = ", ".join(name for name in plugins.names(plugins.TASKS) if _compares(name))
        issues.append(Issue(key, f"{params.tasks[task].type} does not say how predictions are compared; only these do: {fitting}"))
    for name in spec.datasets or ():
        if name not in params.datasets:
            issues.append(Issue(f"{key}.datasets", f"{name!r} is not a dataset; choose from: {', '.join(params.datasets)}"))
        elif list(params.datasets[name].fields) != fields:
            found = ", ".join(params.datasets[name].fields)
            issues.append(Issue(f"{key}.datasets", f"{name!r} has text fields {found}; those of {own[0]!r} are {', '.join(fields)}"))
    issues += _unknown_methods(params, f"{key}.methods", spec.methods)
    applied = {method for name in params.unlabelled_of(task) for method in params.methods_of(name)}
    if not issues and not any(takes(spec.methods, method, 0) for method in applied):
        names = ", ".join(params.unlabelled_of(task))
        issues.append(Issue(f"{key}.methods", f"none of these methods is applied to {names}, so there is nothing to compare"))
    if "augmented" not in (*params.experiment.joint, *params.experiment.single_task):
        issues.append(Issue(key, "compares variants, which only augmented runs have; add augmented to experiment.joint or single_task"))
    return issues


def _compares(task_type: str) -> bool:
    """Whether a task type says how predictions are compared (``mtl.tasks.base.TaskType.divergence``)."""
    return bool(plugins.task_type(task_type).compares())


def _method_issues(params: Params, name: str, method: AugmentMethod) -> list[Issue]:
    """Datasets and text fields that do not exist, or that a method cannot be applied to."""
    key = f"augment.methods.{name}"
    issues = []
    for dataset in method.datasets or ():
        if dataset not in params.datasets:
            issues.append(Issue(f"{key}.datasets", f"{dataset!r} is not a dataset; choose from: {', '.join(params.datasets)}"))
        elif labels := params.labels_against(method, dataset):
            about = (
                f"label {labels[0]!r} of {dataset!r} is about both of its texts, and {method.type} may change what one says of the other"
            )
            issues.append(Issue(f"{key}.datasets", f"{about}; choose another method, or set pairs: true to apply it all the same"))
        elif not params.fields_of(method, dataset):
            where = f"{dataset!r}" if method.fields is None else f"{dataset!r} in {', '.join(method.fields) or 'no text field'}"
            message = f"{method.type} changes ranges such as entities, and {where} has none that may be changed"
            issues.append(Issue(f"{key}.datasets", message if method.needs_tags else f"{dataset!r} has none of the fields of {key}.fields"))
    datasets = [dataset for dataset in params.datasets if method.datasets is None or dataset in method.datasets]
    choices = dict.fromkeys(field for dataset in datasets for field in params.datasets[dataset].fields)
    for field in method.fields or ():
        if field not in choices:
            issues.append(Issue(f"{key}.fields", f"{field!r} is not a text field; choose from: {', '.join(choices)}"))
    if method.downloads and name == "encoder":
        issues.append(Issue(key, "the name is reserved for the download of the encoder; choose another"))
    return issues


def language_issues(params: Params, guessed: Mapping[str, str] = MappingProxyType({})) -> list[Issue]:
    """Methods that are applied to datasets whose language they do not know.

    Args:
        guessed: language tags of datasets that do not give one.
    """
    issues = []
    for dataset, spec in params.datasets.items():
        tag = spec.language or guessed.get(dataset)
        if tag is None:
            continue
        types = plugins.names(plugins.AUGMENTERS)
        fitting = ", ".join(type_ for type_ in types if knows(plugins.settings_of(plugins.AUGMENTERS, type_), tag))
        origin = "" if spec.language else f" (as its texts look; if they are not, set datasets.{dataset}.language)"
        for name, method in params.methods_of(dataset).items():
            if not knows(method, tag):
                message = f"{method.type} does not know {tag}, the language of {dataset!r}{origin}; choose from: {fitting}"
                issues.append(Issue(f"augment.methods.{name}", f"{message}; or name only other datasets in {name}.datasets"))
            elif isinstance(method, BackTranslate) and method.engine == "apertium" and not (method.pivots or _pivots(tag)):
                message = f"is required: there are no default pivots for {tag}, the language of {dataset!r}{origin}; name some to which"
                message += " `apertium -l` lists a pair, or use models: engine ctranslate2 or transformers"
                issues.append(Issue(f"augment.methods.{name}.pivots", message))
            elif isinstance(method, Tabled) and (table := getattr(plugins.language(tag), method.hint)) and method.table_of(tag) is None:
                message = f"is required: the package has none for {tag}, the language of {dataset!r}; name a source, such as {table}"
                issues.append(Issue(f"augment.methods.{name}.tables.{tag}", message))
    return issues


def _pivots(tag: str) -> tuple[str, ...]:
    """The default pivots of a language."""
    language = plugins.language(tag)
    return () if language is None else tuple(language.pivots)


def knows(method: Any, tag: str) -> bool:
    """Whether a method, or its settings class, knows a language."""
    language = plugins.language(tag)
    return method.needs is None or (language is not None and method.needs in language.features)


def _tasks_for(label_type: str) -> list[str]:
    """Task types that learn such labels."""
    return [name for name in plugins.names(plugins.TASKS) if label_type in plugins.settings_of(plugins.TASKS, name).label_types]


def _training_issues(params: Params) -> list[Issue]:
    """Balancing and sampling that do not fit tasks and datasets."""
    kind, sampling = params.train.balancing.type, params.train.sampling
    issues = [
        Issue(f"tasks.{task}.weight", f"train.balancing {kind} does not use weights; leave it at 1, or choose another balancing method")
        for task, spec in params.tasks.items()
        if kind in UNWEIGHTED and spec.weight != 1
    ]
    if isinstance(sampling, FixedSampling):
        used = [name for name in params.datasets if any(name in params.datasets_of(task) for task in params.tasks)]
        issues += [Issue(f"train.sampling.shares.{name}", "is required") for name in used if name not in sampling.shares]
        issues += [
            Issue(f"train.sampling.shares.{name}", f"is not a dataset that a task learns from; choose from: {', '.join(used)}")
            for name in sampling.shares
            if name not in used
        ]
    return issues


def scoring_issues(params: Params) -> list[Issue]:
    """Tasks that would be trained but could not be scored: no dataset of theirs has test rows, or those that ``train.score`` needs."""
    needed = [("test", f"tasks.{task}", task, "no test rows to score it on") for task in params.tasks]
    if (task := params.train.score) in params.tasks:
        needed.append(("validation", "train.score", task, f"no validation rows by which task {task} could select the weights"))
    return [
        Issue(key, f"{reason}: give {', '.join(names)} a share of {split} in split, or a source for {split}")
        for split, key, names, reason in ((split, key, params.datasets_of(task), reason) for split, key, task, reason in needed)
        if not any(split in params.datasets[name].splits for name in names)
    ]


def _dataset_issues(name: str, dataset: Dataset) -> list[Issue]:
    """Issues inside one dataset that involve several of its keys."""
    issues: list[Issue] = []
    if not dataset.labels and (dataset.split is not None or (isinstance(dataset.source, dict) and set(dataset.source) != {"train"})):
        issues.append(Issue(f"datasets.{name}.split", "must go, and sources other than train: without labels all rows are train rows"))
    if dataset.labels and not isinstance(dataset.source, dict) and dataset.split is None:
        issues.append(Issue(f"datasets.{name}.split", "is required where there is one source"))
    if isinstance(dataset.source, dict) and "train" not in dataset.source:
        issues.append(Issue(f"datasets.{name}.source", "needs a source for train"))
    if isinstance(dataset.source, dict):
        issues += [
            Issue(f"datasets.{name}.split.{split}", "there is a source for this split, to which no other rows belong; leave it out, or 0")
            for split in ("validation", "test")
            if split in dataset.source and getattr(dataset.split, split, 0) > 0
        ]
    if dataset.incoming:
        issues += _incoming_issues(name, dataset)
    issues += [
        Issue(f"datasets.{name}.labels.{label}", "the name is reserved for a column of its own; choose another")
        for label in RESERVED & set(dataset.labels)
    ]
    issues += [
        Issue(f"datasets.{name}.labels.{label}.field", f"{spec.field!r} is not a text field; choose from: {', '.join(dataset.fields)}")
        for label, spec in dataset.labels.items()
        if spec.field is not None and spec.field not in dataset.fields
    ]
    columns = _columns(dataset.reader)
    if columns is not None:
        declared = {f"labels.{label}.column": spec.column for label, spec in dataset.labels.items()}
        if dataset.split is not None and dataset.split.column:
            declared["split.group_by"] = dataset.split.column
        declared |= {"text" if len(dataset.fields) == 1 else f"text.{field}": column for field, column in dataset.fields.items()}
        for key, column in declared.items():
            if column not in columns:
                choices = ", ".join([*(["text", "near"] if key == "split.group_by" else []), *columns])
                issues.append(Issue(f"datasets.{name}.{key}", f"{column!r} is not a column; choose from: {choices}"))
    return issues


def _incoming_issues(name: str, dataset: Dataset) -> list[Issue]:
    """Issues of a dataset that grows: rows are appended to its source."""
    url = dataset.sources["all"].url if "all" in dataset.sources else ""
    issues = []
    if not url or "://" in url or "::" in url or is_pattern(url) or dataset.reader.format != "jsonl":
        issues.append(Issue(f"datasets.{name}.source", "rows are appended to it, so it must be the path of a JSON lines file"))
    if dataset.marks:
        issues.append(Issue(f"datasets.{name}.incoming", "cannot be combined with marks"))
    return issues


def _columns(reader: Any) -> tuple[str, ...] | None:
    """The columns that a reader declares, or None where only the file knows."""
    if isinstance(reader, ParallelReader):
        return tuple(reader.files)
    columns: tuple[str, ...] | None = getattr(reader, "columns", None)
    return columns


def relations_of_raw(content: Mapping[str, Any]) -> list[Issue]:
    """Issues between sections that can be told although some section is wrong: tasks that name no dataset or label."""
    datasets, tasks = content.get("datasets"), content.get("tasks")
    if not isinstance(datasets, Mapping) or not isinstance(tasks, Mapping):
        return []
    issues = []
    labels = {
        label
        for dataset in datasets.values()
        if isinstance(dataset, Mapping) and isinstance(dataset.get("labels"), Mapping)
        for label in dataset["labels"]
    }
    for task, spec in tasks.items():
        if not isinstance(spec, Mapping):
            continue
        named = spec.get("datasets")
        for name in named if isinstance(named, list) else ():
            if isinstance(name, str) and name not in datasets:
                issues.append(Issue(f"tasks.{task}.datasets", f"{name!r} is not a dataset; choose from: {', '.join(map(str, datasets))}"))
        if isinstance(spec.get("label"), str) and spec["label"] not in labels:
            issues.append(
                Issue(
                    f"tasks.{task}.label", f"no dataset has a label {spec['label']!r}; choose from: {', '.join(sorted(map(str, labels)))}"
                )
            )
    return issues
