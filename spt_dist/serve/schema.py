"""The documents that the endpoint answers with; FastAPI writes openapi.json from them."""

from pydantic import BaseModel, Field, field_validator

LONGEST_MESSAGE = 600  # characters; a message repeats what was sent, which may be of any length


class Problem(BaseModel):
    """What is wrong, and with which field of the request."""

    field: str = Field(description="the field at fault; `body` for the request as a whole, empty if it is not yours")
    message: str = Field(description="what was found, and what to send instead")
    request_id: str = Field(description="of the header `X-Request-Id`; the endpoint's log has it too")

    @field_validator("message")
    @classmethod
    def _shorten(cls, text: str) -> str:
        half = LONGEST_MESSAGE // 2
        return text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} … {text[-half:]}"


class Refusal(BaseModel):
    """Every answer that is not a success."""

    error: Problem = Field(
        examples=[
            {"field": "parsing", "message": "label 17 is out of range; labels are 0 to 9", "request_id": "b5c1d2e3"}
        ]
    )


class PictureAnswer(BaseModel):
    """The picture and its parsing map, for clients that ask for `application/json`."""

    image: str = Field(description="the generated picture: RGB, base64")
    parsing: str = Field(description="its parsing map: PNG, one channel, values 0 to 9, base64")
    format: str = Field(description="of the picture: png, jpeg or webp")
    model: str = Field(description="the model that drew it")
    digest: str = Field(description="of that model's weights")
    seed: int | None = Field(description="of the noise that it was drawn with; null: drawn without noise")
    request_id: str
    window: tuple[int, int, int, int] | None = Field(
        None,
        description="what the picture shows, as top, left, height, width in px of the wanted pose's picture, or of the "
        "photo where the pose is its own; it may reach beyond the edges",
    )


class AnnotatedAnswer(BaseModel):
    """The person in a photo, as the other requests take it."""

    joints: list[list[float]] = Field(description="18 x [x_px, y_px, visible]; missing is [-1, -1, 0]")
    parsing: str = Field(description="the parsing map: PNG of the photo's size, one channel, values 0 to 9, base64")
    size: list[int] = Field(description="height, width in px of the photo, upright")
    confidence: list[float] = Field(description="of each joint, 0 to 1, also of those that are missing")
    box: list[float] = Field(description="the person: x0, y0, x1, y1 in px")
    annotator: str = Field(description="who says so")
    request_id: str


class Line(BaseModel):
    """A line of `/v1/poses`: a picture and its parsing map as in `PictureAnswer`, or why there is none."""

    index: int = Field(description="which of the poses, from 0; lines come as they are ready")
    image: str | None = None
    parsing: str | None = None
    error: Problem | None = None


class Done(BaseModel):
    """The last line of `/v1/poses`."""

    done: int = Field(description="how many lines went before")
    request_id: str


class ModelEntry(BaseModel):
    """A model that is served."""

    id: str
    size: tuple[int, int] = Field(description="height, width in px of its pictures")
    digest: str = Field(description="of its weights: another one after a training")
    default: bool = Field(description="whether it draws where no model is named")
    noise: bool = Field(description="whether a `seed` makes a difference: it has learned with noise")


class Painters(BaseModel):
    """How many replicas draw, and how many are starting."""

    running: int
    starting: int


class Models(BaseModel):
    """What is served; with no replica running, the first request starts one, and waits for it."""

    models: list[ModelEntry]
    replicas: Painters
    annotates: bool = Field(description="whether raw photos are taken, without joints and parsing maps")


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
    edits: list[str] = Field(description="named edits of a parsing map, for `/v1/edit`")


class Health(BaseModel):
    """The endpoint answers."""

    status: str = "ok"
    run: str = Field(description="name of the run that is served first")
    version: str


class Ready(BaseModel):
    """The endpoint draws, or would after a cold start."""

    status: str = Field(examples=["ready", "asleep"])
    replicas: Painters
