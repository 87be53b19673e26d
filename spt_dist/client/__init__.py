"""A client of the endpoint, for programs: `Client`, and `AsyncClient` for those that await.

    from spt_dist.client import Client, Person

    with Client("http://127.0.0.1:8000") as client:
        person = Person("a.jpg", "a.png", joints)  # or Person("a.jpg"): the endpoint finds the rest
        client.generate(person, pose).save("out.png")
        for drawn in client.poses(person, poses):
            ...

It brings neither torch nor Ray.
"""

from spt_dist.client.answers import (
    Annotated,
    BusyError,
    DeadlineError,
    EndpointError,
    Picture,
    RefusedError,
    UnreachableError,
)
from spt_dist.client.calls import Call, Person, Pose
from spt_dist.client.clients import AsyncClient, Client

__all__ = [
    "Annotated",
    "AsyncClient",
    "BusyError",
    "Call",
    "Client",
    "DeadlineError",
    "EndpointError",
    "Person",
    "Picture",
    "Pose",
    "RefusedError",
    "UnreachableError",
]
