"""Requests that the OpenAPI document allows, and some that it does not: answers are those that it describes."""

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from mirror import Mirror
from schemathesis.checks import CHECKS

from spt_dist import box, config
from spt_dist.serve.api import build_api

api = build_api(Mirror(), box.RUN, config.Serve())
schema = schemathesis.openapi.from_asgi("/openapi.json", api)
NAMES = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
NAMES += ("negative_data_rejection", "unsupported_method")


@schema.parametrize()
@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_documented(case):
    case.call_and_validate(checks=[CHECKS.get_one(name) for name in NAMES])
