"""All sections together."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations, product
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mtl.config.audit import Audit
from mtl.config.augment import Augment, AugmentMethod, RelationChanging
from mtl.config.base import Name, Section
from mtl.config.datasets import Dataset, LabelSettings
from mtl.config.decoder import Decoder
from mtl.config.encoder import Encoder
from mtl.config.evaluate import Evaluate
from mtl.config.experiment import Experiment, Run
from mtl.config.promote import Promote
from mtl.config.report import Report
from mtl.config.tasks import Task, WritingSettings, takes
from mtl.config.train import Train
from mtl.config.tune import Tune
from mtl.names import ShardName, group_of, phased

UNTRAINED = frozenset({"experiment", "evaluate", "report", "tune", "promote", "audit"})
"""Sections that decide nothing about a model that is trained for given tasks, data and seed."""


class Params(Section):
    """All of ``params.yaml``. Sections that have defaults may be left out or empty; DVC tracks sections by name, so a project under DVC
    writes ``train: {}`` for the defaults of ``train``."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Seed of splits, augmentation and search; ``experiment.seeds`` are those of the runs."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    augment: Augment = Augment()
    encoder: Encoder
    train: Train = Train()
    experiment: Experiment = Experiment()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
    tune: Tune | None = None
    """The search, for those who want one."""
    promote: Promote | None = None
    """When ``mtl promote`` takes a newly trained model; the defaults if left out."""
    audit: Audit | None = None
    """The label audit, for those who want other folds than the usual ones."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, content: Any) -> Any:
        """An empty section is one that is left out, and without methods the runs are on plain data."""
        if not isinstance(content, Mapping):
            return content
        content = {section: value for section, value in content.items() if value is not None}
        augment, experiment = content.get("augment", {}), content.get("experiment", {})
        if isinstance(augment, Mapping) and not augment.get("methods") and isinstance(experiment, Mapping):
            content["experiment"] = {"joint": ["plain"], "single_task": ["plain"], **experiment}
        return content

    def datasets_of(self, task: str) -> tuple[str, ...]:
        """The names of the datasets that a task learns from, in the order of ``datasets``."""
        spec = self.tasks[task]
        return tuple(
            name
            for name, dataset in self.datasets.items()
            if spec.label in dataset.labels and (spec.datasets is None or name in spec.datasets)
        )

    def unlabelled_of(self, task: str) -> tuple[str, ...]:
        """The names of the datasets whose train rows without its label a task learns from too, in the order of ``datasets``."""
        spec, own = self.tasks[task].consistency, self.datasets_of(task)
        if spec is None or not own:
            return ()
        fields = list(self.datasets[own[0]].fields)
        usual = {*own, *(name for name, dataset in self.datasets.items() if not dataset.labels and list(dataset.fields) == fields)}
        return tuple(name for name in self.datasets if name in (spec.datasets or usual))

    def keeps_unlabelled(self, dataset: str) -> bool:
        """Whether a task learns from the rows of a dataset that have no label at all."""
        return any(dataset in self.unlabelled_of(task) for task in self.tasks)

    def frozen_of(self, task: str) -> tuple[str, ...]:
        """The datasets of a task whose test rows are scored: without those that grow, unless it has no others."""
        datasets = self.datasets_of(task)
        return tuple(name for name in datasets if not self.datasets[name].incoming) or datasets

    def used_datasets(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """The datasets that any of the tasks learns from, with labels or without, in the order of ``datasets``."""
        used = {dataset for task in tasks for dataset in (*self.datasets_of(task), *self.unlabelled_of(task))}
        return tuple(name for name in self.datasets if name in used)

    def compared_with(self, dataset: str) -> tuple[str, ...]:
        """The other datasets whose texts decide splits of this one: all with labels, unless none can hold out a text of its train rows.

        Datasets with the same shares assign equal texts alike, and rows of a source for train are never moved. Rows without labels are
        left out where another dataset holds out their text.
        """
        own, labelled = self.datasets[dataset], {name: other for name, other in self.datasets.items() if other.labels}
        others = {name: other for name, other in labelled.items() if name != dataset and (own.incoming or not other.incoming)}
        moved = own.movable and not all(other.assigns_like(own) for other in others.values())
        return tuple(others) if moved or own.drop_leaked or own.incoming or self.keeps_unlabelled(dataset) else ()

    def label_of(self, task: str) -> LabelSettings:
        """The label that a task learns; its type is the same in all datasets of the task."""
        return self.datasets[self.datasets_of(task)[0]].labels[self.tasks[task].label]

    @property
    def writing(self) -> dict[str, WritingSettings]:
        """The tasks that write text."""
        return {name: spec for name, spec in self.tasks.items() if isinstance(spec, WritingSettings)}

    @property
    def decoder(self) -> Decoder | None:
        """The new decoder that the tasks that write text share; None if no task writes, or the encoder's source has one."""
        named = [spec.decoder for spec in self.writing.values() if spec.decoder]
        return (named or [Decoder()])[0] if self.writing and not self.encoder.has_decoder else None

    def methods_of(self, dataset: str) -> dict[str, AugmentMethod]:
        """The augmentation methods that are applied to a dataset."""
        return {
            name: method
            for name, method in self.augment.methods.items()
            if (method.datasets is None or dataset in method.datasets) and self.fields_of(method, dataset)
        }

    def augmented_datasets(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """The datasets to which some augmentation method is applied that one of the tasks uses there, with labels or without."""
        tasks = tuple(tasks)
        return tuple(
            name
            for name in self.used_datasets(tasks)
            if any(self._uses(task, name, method) for method in self.methods_of(name) for task in tasks)
        )

    def _uses(self, task: str, dataset: str, method: str) -> bool:
        """Whether a task learns from a method's variants of a dataset, or compares them with the rows without labels."""
        spec = self.tasks[task]
        compares = spec.consistency is not None and dataset in self.unlabelled_of(task) and takes(spec.consistency.methods, method, 0)
        return compares or (dataset in self.datasets_of(task) and spec.learns_from(method, 0))

    def shards_for(self, tasks: Iterable[str]) -> list[ShardName]:
        """The shards in which there may be variants that one of the tasks learns from."""
        return [shard for name in self.augmented_datasets(tasks) for shard in ShardName.all(name, self.shards_of(name))]

    def shards_of(self, dataset: str) -> int:
        """How many shards of augmented rows a dataset has: none where no method is applied to it."""
        return self.augment.shards if self.methods_of(dataset) else 0

    def fields_of(self, method: AugmentMethod, dataset: str) -> tuple[str, ...]:
        """The text fields of a dataset that a method is applied to; if it works on tags, those whose tags leave it free to."""
        spec = self.datasets[dataset]
        if self.labels_against(method, dataset):
            return ()
        positional = {name: label for name, label in spec.labels.items() if label.positional}
        tagged = {spec.field_of(name) for name in positional}
        tagged -= {spec.field_of(name) for name, label in positional.items() if not label.interchangeable}
        return tuple(
            field
            for field in spec.fields
            if (method.fields is None or field in method.fields) and (field in tagged or not method.needs_tags)
        )

    def labels_against(self, method: AugmentMethod, dataset: str) -> tuple[str, ...]:
        """The labels of a dataset about two texts together, if a method may make them false and does not set ``pairs``."""
        unsafe = isinstance(method, RelationChanging) and not method.pairs
        return self.datasets[dataset].pair_labels if unsafe else ()

    @property
    def compared_data(self) -> Literal["augmented", "plain"]:
        """Data on which the runs of several tasks are compared with single-task runs: the headline's, if both learn from it."""
        joint, single = self.experiment.joint, self.experiment.single_task
        both = [data for data in single if data in joint] or list(single) or list(joint)
        return "augmented" if "augmented" in both else "plain"

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Sets of tasks that have runs of their own beside the joint and single-task ones; tasks in the order of ``tasks``."""
        wanted, every = self.experiment.groups, tuple(self.tasks)
        if wanted == "pairs":
            sets: Iterable[Iterable[str]] = combinations(every, 2)
        elif wanted == "all":
            sets = chain.from_iterable(combinations(every, size) for size in range(2, len(every)))
        else:
            sets = wanted
        ordered = (tuple(task for task in every if task in group) for group in map(set, sets))
        return tuple(dict.fromkeys(group for group in ordered if 1 < len(group) < len(every)))

    def phases(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """The tasks of a first phase, in the order of ``tasks``, and that of the second."""
        ordered = ((tuple(task for task in self.tasks if task in phases.first), phases.then) for phases in self.experiment.phases)
        return tuple(dict.fromkeys(ordered))

    def runs(self) -> dict[str, "Run"]:
        """Every run of the experiment by its name, joint ones first and those of groups and phases last; each after its start."""
        target, first, every = self.experiment.target, self.experiment.seeds[0], list(self._every_run())
        own = [run for run in every if target is None or target in run.tasks or run.seed == first]
        names = {run.name for run in own} | {run.start for run in own}
        return {run.name: run for run in every if run.name in names}

    def _every_run(self) -> Iterator["Run"]:
        """The runs with every seed; a first phase comes again where it is a single-task run or a group too."""
        experiment, compared = self.experiment, self.compared_data
        for seed, size, data in product(experiment.seeds, experiment.sizes, experiment.joint):
            yield Run(tasks=tuple(self.tasks), model="joint", data=data, seed=seed, size=size)
        if len(self.tasks) > 1:
            for seed, size, data, task in product(experiment.seeds, experiment.sizes, experiment.single_task, self.tasks):
                yield Run(tasks=(task,), model=task, data=data, seed=seed, size=size)
        for seed, group in product(experiment.seeds, self.groups()):
            yield Run(tasks=group, model=group_of(group), data=compared, seed=seed)
        for seed, (first, then) in product(experiment.seeds, self.phases()):
            yield Run(tasks=first, model=group_of(first), data=compared, seed=seed)
            yield Run(tasks=(then,), model=phased(first, then), data=compared, seed=seed)
