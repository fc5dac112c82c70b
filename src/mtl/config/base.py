"""What all sections of ``params.yaml`` share: strict, frozen models, and the common types of values."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from mtl import plugins
from mtl.config.urls import issue_of

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]  # files are named after them
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
"""A language tag of BCP 47."""
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Layers = Annotated[int, Field(ge=1, le=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


PLUG_IN = "x-plug-in"
"""Key of a JSON schema that stands for all settings models of a group."""


class Section(BaseModel):
    """Base of all sections: frozen; an unknown key is an issue, and so is a number that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)  # an input may hold a secret


class OneOf:
    """Annotation of a section whose ``type`` names a plug-in of a group (see ``mtl.plugins``); only the named one is imported.

    Args:
        group: one of ``mtl.plugins``.
        expand: turns a short form into the long one.
    """

    def __init__(self, group: str, expand: Callable[[Any], Any] = lambda value: value) -> None:
        self.group, self.expand = group, expand

    def validate(self, value: Any) -> Section:
        """The section, by the settings model of its type.

        Raises:
            ValueError: the type is missing or unknown, or its settings are wrong.
        """
        if isinstance(value, Section):
            return value
        value = self.expand(value)
        if not isinstance(value, Mapping) or "type" not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'type'"})
        name = value["type"]
        try:
            model = plugins.settings_of(self.group, str(name))
        except KeyError:
            expected = ", ".join(repr(type_) for type_ in plugins.names(self.group))
            context = {"discriminator": "'type'", "tag": str(name), "expected_tags": expected}
            raise PydanticKnownError("union_tag_invalid", context) from None
        section: Section = model.model_validate(value)
        return section

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {PLUG_IN: self.group}  # see mtl.config.schema, which names all models in one place


def _public(url: str) -> str:
    """The URL, if it is valid and holds no secret."""
    if issue := issue_of(url):
        raise ValueError(issue)
    return url


class Source(Section):
    """A file or folder, named by one URL, with the checksum that it must have."""

    url: Annotated[str, Field(min_length=1), AfterValidator(_public)]
    """Any fsspec URL (https, s3, gs, hf, file, chains such as ``tar://a.txt::https://…``), a path, or
    ``pypi://NAME==VERSION/path/inside``. A secret is written as ``${env:NAME}``: the value of an environment variable, which is read when
    the source is fetched and never stored. A path, or a URL of a store with folders, may end in a pattern such as ``train-*.parquet``."""
    sha256: Sha256 | None = None
    """sha256 of the file; of a folder: of the lines ``<sha256>  <relative path>\\n``, sorted by path.
    Pickles and weights of other frameworks in a folder are left out. A missing checksum is an error that prints the actual one."""


def is_pattern(url: str) -> bool:
    """Whether a URL names the files of a folder by a pattern, such as ``data/train-*.parquet``."""
    return "*" in url.rpartition("/")[2] and "::" not in url and not url.startswith(("https://", "http://", "pypi://"))


def by_name(value: Any) -> Any:
    """A plain name as a section that has only its type."""
    return {"type": value} if isinstance(value, str) else value
