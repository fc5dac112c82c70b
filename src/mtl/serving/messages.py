"""The JSON of requests and replies; the OpenAPI description is generated from it."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _encodable(text: str) -> str:
    """JSON can spell halves of a surrogate pair, which no reply could hold."""
    text.encode()
    return text


Unicode = Annotated[str, AfterValidator(_encodable)]
Fields = dict[Unicode, Unicode | list[Unicode]]
Text = Annotated[
    Unicode | Fields,
    Field(description="a text, or its fields by name; `tokens`, a list of strings, may stand for `text`", examples=["Ann Lee loved it."]),
]
Predictions = dict[str, dict[str, Any] | None]
"""By task; null where a text of the task is empty or not there, or where its confidence is too low."""


class Strict(BaseModel):
    """A request. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class PredictRequest(Strict):
    """Texts to predict."""

    texts: list[Text]
    tasks: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of the requested tasks; all by default."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Tasks with less confidence are null; of entities, those with less are left out."""


class PredictReply(BaseModel):
    """Predictions in the order of the texts."""

    model: str
    """Version of the model that predicted."""
    predictions: list[Predictions]


class StateReply(BaseModel):
    """That the service works."""

    status: str
    model: str


class TaskReply(BaseModel):
    """What a task predicts."""

    type: str
    label: str
    fields: list[str]
    """Names of the text fields that it reads."""
    field: str
    """The one that its entities are in."""
    classes: list[str]
    """Its classes or entity types, if any."""
    description: str


class ModelReply(BaseModel):
    """The model that predicts now."""

    model: str
    mtl: str
    """Version of the package that wrote it."""
    format: int
    checksums: dict[str, str]
    """SHA-256 by file."""
    tasks: dict[str, TaskReply]
    card: str | None
    corrections: bool
    """Whether corrections are saved."""


class EntityRange(Strict):
    """An entity: characters ``start`` (inclusive) to ``end`` (exclusive)."""

    type: str
    start: int
    end: int


class ClassCorrection(Strict):
    """The right class."""

    label: str


class ClassesCorrection(Strict):
    """All right classes."""

    labels: list[str]


class NumberCorrection(Strict):
    """The right number."""

    value: Annotated[float, Field(allow_inf_nan=False)]


class EntitiesCorrection(Strict):
    """All right entities."""

    entities: list[EntityRange]


Correction = ClassCorrection | ClassesCorrection | NumberCorrection | EntitiesCorrection


class CorrectionRequest(Strict):
    """What should have been predicted for a text."""

    text: Text
    task: str
    correction: Correction


class CorrectionReply(BaseModel):
    """A saved correction."""

    model: str
    row: dict[str, Any]
    """The labelled row as it was appended."""


class Failure(BaseModel):
    """Why a request failed."""

    detail: str


class Issue(BaseModel):
    """What is wrong in a request."""

    loc: list[str | int]
    """Path to the value, such as ``["body", "texts", 0]``."""
    msg: str
    type: str


class Refusal(BaseModel):
    """All that is wrong in a request."""

    detail: list[Issue]
