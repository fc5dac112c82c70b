"""What all sections of ``params.yaml`` share: strict, frozen models, and the common types of values."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Split = Literal["train", "validation", "test"]


SPLITS: tuple[Split, ...] = ("train", "validation", "test")


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]  # files are named after them


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


Share = Annotated[float, Field(ge=0, le=1)]


Rate = Annotated[float, Field(gt=0, le=1)]


Count = Annotated[int, Field(ge=1)]


Layers = Annotated[int, Field(ge=1, le=64)]


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class Section(BaseModel):
    """Base of all sections: frozen, and an unknown key is a issue."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Section):
    """A file or folder, named by one URL, with the sum that it must have."""

    url: Annotated[str, Field(min_length=1)]
    """Any fsspec URL (https, s3, gs, hf, file, chains such as ``tar://a.txt::https://…``), a path, or
    ``pypi://NAME==VERSION/path/inside``."""
    sha256: Sha256 | None = None
    """sha256 of the file; of a folder: of the lines ``<sha256>  <relative path>\\n``, sorted by path.
    Of a folder, pickles and other frameworks' weights are left out. A missing sum is an error that prints the one found."""


def by_name(value: Any) -> Any:
    """A plain name as a section that has only its type."""
    return {"type": value} if isinstance(value, str) else value
