"""The labelling interface of a Label Studio project: which control shows the predictions of which task."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from mtl.tasks.base import TaskType

OPTIONS = {"Choices": "Choice", "Labels": "Label", "Relations": "Relation", "Number": "", "Rating": ""}
"""Control tags that predictions can fill, and the tag of their options."""


class Control(NamedTuple):
    """A control tag."""

    tag: str
    name: str
    objects: tuple[str, ...]
    """Names of the object tags that it is about; of relations, none."""
    options: Mapping[str, str]
    """The spelling of each option in the project, by its name in lower case."""

    def spelled(self, name: str) -> str | None:
        """An option as the project spells it; None if it has no such option."""
        return self.options.get(name.casefold())


class Interface(NamedTuple):
    """The controls and texts of a project."""

    controls: tuple[Control, ...]
    variables: Mapping[str, str]
    """By name of a text tag, the key of the data that it shows."""


class Binding(NamedTuple):
    """A control, the task that fills it, and where the texts of the task are in the data."""

    control: Control
    task: str
    keys: tuple[tuple[str, str], ...]
    """``(field, key of the data)``."""
    about: str
    """The text tag that the predictions are about."""


def parse(config: str) -> Interface:
    """Read the XML of a labelling interface.

    Raises:
        ValueError: it is not XML, or declares entities.
    """
    if "<!DOCTYPE" in config or "<!ENTITY" in config:
        raise ValueError("a labelling interface has no document type")
    try:
        elements = list(ElementTree.fromstring(config).iter())
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"is not XML: {error}") from None
    variables = {element.get("name", ""): element.get("value", "").removeprefix("$") for element in elements if element.tag == "Text"}
    return Interface(tuple(_control(element) for element in elements if element.tag in OPTIONS), variables)


def _control(element: ElementTree.Element) -> Control:
    names = [(option.get("value", ""), option.get("alias")) for option in element.iter(OPTIONS[element.tag] or "none")]
    options = {value.casefold(): alias or value for value, alias in names}
    objects = tuple(name.strip() for name in element.get("toName", "").split(",") if name.strip())
    return Control(element.tag, element.get("name", ""), objects, options)


def bind(interface: Interface, tasks: Mapping[str, TaskType]) -> list[Binding]:
    """Match controls with tasks: by name, else by the options that a task predicts. A number matches by name, or the only task of numbers.

    Args:
        tasks: of the model, by name.
    """
    bindings: list[Binding] = []
    for control in interface.controls:
        name = _task_of(control, tasks)
        if name is not None and (places := _keys(interface, control, tasks[name])):
            bindings.append(Binding(control, name, *places))
    return bindings


def _task_of(control: Control, tasks: Mapping[str, TaskType]) -> str | None:
    fitting = {name: task for name, task in tasks.items() if control.tag in _tags(task)}
    same = [name for name in fitting if name.casefold() == control.name.casefold()]
    if same:
        return same[0]
    if not control.options:
        return next(iter(fitting)) if len(fitting) == 1 else None
    overlap = {name: sum(control.spelled(option) is not None for option in _names(task)) for name, task in fitting.items()}
    best = max(overlap, key=lambda name: overlap[name], default=None)
    return best if best is not None and overlap[best] else None


def _tags(task: TaskType) -> Sequence[str]:
    """The controls that can show the predictions of a task."""
    if task.markers:
        return ("Relations", "Choices")
    if not task.class_names:
        return ("Number", "Rating")
    return ("Labels",) if task.noun == "entity type" else ("Choices",)


def _names(task: TaskType) -> Iterable[str]:
    """Its classes, and those of relations without their direction."""
    return {option for name in task.class_names for option in (name, undirected(name))}


def undirected(name: str) -> str:
    """A relation such as ``Cause(e1,e2)`` without its direction."""
    return name.removesuffix("(e1,e2)").removesuffix("(e2,e1)")


def _keys(interface: Interface, control: Control, task: TaskType) -> tuple[tuple[tuple[str, str], ...], str] | None:
    """Where the texts of a task are, and the text tag of its main field; None if the project has fewer texts."""
    candidates = control.objects if len(control.objects) == len(task.fields) else tuple(interface.variables)
    tags = list(_texts(interface, candidates, task.fields))
    if len(tags) < len(task.fields):
        return None
    keys = tuple((field, interface.variables[tag]) for field, tag in zip(task.fields, tags, strict=True))
    return keys, control.objects[0] if control.objects else tags[task.field]


def _texts(interface: Interface, candidates: Sequence[str], fields: Sequence[str]) -> Iterator[str]:
    """The text tag of each field: by its name or variable, else in order."""
    texts = [name for name in candidates if name in interface.variables]
    named = {known.casefold(): name for name in texts for known in (interface.variables[name], name)}
    for place, field in enumerate(fields):
        if field.casefold() in named:
            yield named[field.casefold()]
        elif place < len(texts):
            yield texts[place]
