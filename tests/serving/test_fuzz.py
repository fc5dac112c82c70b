"""Requests made from the service's own description never make it fail."""

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance
from tests.serving.process import Serving

import pytest

EXAMPLES = 60  # of each route
ROUTES = {"/predict", "/corrections", "/health", "/ready", "/metrics", "/model", "/reload"}


@pytest.fixture(scope="module")
def description(serving: Serving):
    return schemathesis.openapi.from_url(serving.url + "/openapi.json")


schema = schemathesis.pytest.from_fixture("description")
