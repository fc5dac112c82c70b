"""A machine-learning backend for Label Studio: predictions in the form that its projects show before people correct them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from mtl.serving import label_config
from mtl.serving.label_config import Binding, Control, Interface
from mtl.serving.messages import Failure, Unicode
from mtl.serving.service import Service, refusal

RANGES = {"e1": ("<e1>", "</e1>"), "e2": ("<e2>", "</e2>")}
"""The marked ranges of a relation, by the name of their label."""
Result = dict[str, Any]
router = APIRouter(prefix="/label-studio", tags=["Label Studio"])


class LabelStudioTask(BaseModel):
    """A row of a project."""

    data: dict[str, Any]


class LabelStudioPredict(BaseModel):
    """Rows to predict; further keys are ignored."""

    tasks: list[LabelStudioTask]
    label_config: Unicode


class LabelStudioSetup(BaseModel):
    """A project that connects; further keys are ignored."""

    label_schema: Annotated[Unicode, Field(alias="schema")]


class LabelStudioPrediction(BaseModel):
    """What a project shows of a row."""

    result: list[Result]
    score: float | None
    """Mean confidence, if there is one."""
    model_version: str


class LabelStudioReply(BaseModel):
    """Predictions in the order of the rows."""

    results: list[LabelStudioPrediction]
    model_version: str


class LabelStudioState(BaseModel):
    """That the backend works."""

    status: str
    model_class: str


class LabelStudioVersion(BaseModel):
    """The version that predicts."""

    model_version: str


class Ignored(BaseModel):
    """An event that changes nothing."""

    status: str


@router.get("/health")
async def health() -> LabelStudioState:
    """Whether the backend is alive."""
    return LabelStudioState(status="UP", model_class="mtl")


@router.post("/setup")
async def setup(request: Request, body: LabelStudioSetup) -> LabelStudioVersion:
    """Check that some control of the labelling interface shows a task of the model."""
    service: Service = request.app.state.service
    _bindings(service, body.label_schema, "schema")
    return LabelStudioVersion(model_version=service.model.version)


@router.post("/webhook")
async def webhook() -> Ignored:
    """Events of a project, which is not trained from here."""
    return Ignored(status="ignored")


@router.post("/predict", responses={503: {"model": Failure, "description": "The queue is full."}})
async def predict(request: Request, body: LabelStudioPredict) -> LabelStudioReply:
    """Predict the rows of a project, all its controls in as few passes as their texts allow."""
    service: Service = request.app.state.service
    interface, bindings = _bindings(service, body.label_config, "label_config")
    version = service.model.version
    results: list[list[Result]] = [[] for _ in body.tasks]
    for keys in dict.fromkeys(binding.keys for binding in bindings):
        own = [binding for binding in bindings if binding.keys == keys]
        texts = [{field: _text(task.data.get(key)) for field, key in keys} for task in body.tasks]
        for first in range(0, len(texts), service.settings.limits.texts):
            chunk = texts[first : first + service.settings.limits.texts]
            model, predictions = await service.predict(chunk, list(dict.fromkeys(binding.task for binding in own)))
            version = model.version
            for place, (fields, prediction) in enumerate(zip(chunk, predictions, strict=True), start=first):
                for binding in own:
                    results[place] += _results(binding, interface, fields, prediction[binding.task])
    return LabelStudioReply(results=[_prediction(result, version) for result in results], model_version=version)


def _bindings(service: Service, config: str, key: str) -> tuple[Interface, list[Binding]]:
    try:
        interface = label_config.parse(config)
    except ValueError as error:
        raise refusal((key,), str(error)) from None
    if bindings := label_config.bind(interface, service.model.tasks):
        return interface, bindings
    raise refusal((key,), f"no control has the name or the options of a task; the tasks are: {', '.join(service.model.tasks)}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _prediction(result: list[Result], version: str) -> LabelStudioPrediction:
    scores = [item["score"] for item in result if "score" in item]
    return LabelStudioPrediction(result=result, score=sum(scores) / len(scores) if scores else None, model_version=version)


def _results(binding: Binding, interface: Interface, fields: Mapping[str, str], prediction: Mapping[str, Any] | None) -> list[Result]:
    """A task's prediction of a row as results of the binding's control; options that the project does not have are left out."""
    match binding.control.tag, prediction:
        case "Relations", {"label": label, "probability": score}:
            return _relation(binding, interface, next(iter(fields.values())), label, score)
        case "Choices", {"label": label, "probability": score}:
            return _choices(binding, {label: score})
        case "Choices", {"labels": labels}:
            return _choices(binding, {each["label"]: each["probability"] for each in labels})
        case "Labels", {"entities": entities}:
            return list(_entities(binding, entities))
        case "Number", {"value": value}:
            return [_result(binding.control, binding.about, {"number": value})]
        case "Rating", {"value": value}:
            return [_result(binding.control, binding.about, {"rating": max(round(value), 0)})]
    return []


def _result(control: Control, about: str, value: Result, **more: Any) -> Result:
    return {"id": uuid4().hex[:10], "from_name": control.name, "to_name": about, "type": control.tag.lower(), "value": value, **more}


def _choices(binding: Binding, scores: Mapping[str, float]) -> list[Result]:
    chosen = {spelled: score for name, score in scores.items() if (spelled := binding.control.spelled(name)) is not None}
    if not chosen:
        return []
    return [_result(binding.control, binding.about, {"choices": list(chosen)}, score=sum(chosen.values()) / len(chosen))]


def _entities(binding: Binding, entities: Sequence[Mapping[str, Any]]) -> Iterator[Result]:
    for entity in entities:
        label = binding.control.spelled(entity["type"])
        if label is not None:
            yield _range(binding.control, binding.about, label, entity, score=entity["confidence"])


def _range(control: Control, about: str, label: str, place: Mapping[str, Any], **more: Any) -> Result:
    return _result(control, about, {**{key: place[key] for key in ("start", "end", "text")}, "labels": [label]}, **more)


def _relation(binding: Binding, interface: Interface, text: str, label: str, score: float) -> list[Result]:
    """The two marked ranges as regions, and the relation between them; nothing if the project has no labels ``e1`` and ``e2``."""
    labels = next((control for control in interface.controls if control.tag == "Labels" and binding.about in control.objects), None)
    relation = binding.control.spelled(label) or binding.control.spelled(label_config.undirected(label))
    spelled = [labels.spelled(name) for name in RANGES] if labels else []
    if labels is None or relation is None or None in spelled:
        return []
    regions = [_marked(labels, binding.about, str(name), text, *marks) for name, marks in zip(spelled, RANGES.values(), strict=True)]
    start, end = reversed(regions) if label.endswith("(e2,e1)") else regions
    link = {"type": "relation", "from_id": start["id"], "to_id": end["id"], "direction": "right", "labels": [relation], "score": score}
    return [*regions, link]


def _marked(control: Control, about: str, label: str, text: str, opening: str, closing: str) -> Result:
    start, end = text.index(opening) + len(opening), text.index(closing)
    return _range(control, about, label, {"start": start, "end": end, "text": text[start:end]})
