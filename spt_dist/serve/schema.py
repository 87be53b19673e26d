"""The documents that the endpoint answers with; FastAPI writes openapi.json from them."""

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """What is wrong, and with which field of the request."""

    field: str = Field(description="the field at fault; `body` for the request as a whole, empty if it is not yours")
    message: str = Field(description="what was found, and what to send instead")


class Refusal(BaseModel):
    """Every answer that is not a success."""

    error: Problem = Field(examples=[{"field": "parsing", "message": "label 17 is out of range; labels are 0 to 9"}])


class Drawn(BaseModel):
    """The picture and its parsing map, for clients that ask for `application/json`."""

    image: str = Field(description="the generated picture: PNG, RGB, base64")
    parsing: str = Field(description="its parsing map: PNG, one channel, values 0 to 9, base64")


class Person(BaseModel):
    """A sample person: where the picture and the parsing map lie, and the joints in pixels of that picture."""

    id: str
    image: str = Field(description="path of the photo (JPEG)")
    parsing: str = Field(description="path of the parsing map (PNG, values 0 to 9)")
    size: tuple[int, int] = Field(description="height, width in px")
    joints: list[tuple[float, float, float]] = Field(description="18 x (x_px, y_px, visible)")


class Gallery(BaseModel):
    """The sample people of the run that is served."""

    people: list[Person]


class Bone(BaseModel):
    """A line of the skeleton: two joints by index, and its colour."""

    ends: tuple[int, int]
    colour: tuple[int, int, int]


class LabelEntry(BaseModel):
    """A parsing label: its value is its place in the list."""

    name: str
    colour: tuple[int, int, int]


class Body(BaseModel):
    """The tables by which joints and labels are read and drawn, in their order."""

    joints: list[str]
    labels: list[LabelEntry]
    bones: list[Bone]


class Health(BaseModel):
    """The endpoint answers."""

    status: str = "ok"
    run: str = Field(description="name of the run folder that is served")
    version: str
