"""The OpenAPI description is true: requests made from it get documented responses only."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.page.conftest import photo_file
from tests.support.page_server import PageClient
from zfscope.answers import TYPED
from zfscope.client.methods import ClientMethods
from zfscope.page.methods import methods
from zfscope.page.schemas import response_model

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
# Requests for each operation.
EXAMPLES = 12


@pytest.fixture(scope="module")
def description(page: PageClient) -> Any:
    return page.get("openapi.json").json


@pytest.fixture(scope="module")
def operations(description: Any) -> list[Any]:
    """The operations of the description, as schemathesis reads them."""
    return [each.ok() for each in schemathesis.openapi.from_dict(description).get_all_operations()]


def test_every_typed_analysis_has_a_path(description: Any) -> None:
    for typed in TYPED:
        operation = description["paths"][f"/v1/{typed.analyzer}"]["post"]
        result = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        assert result.endswith(f"/{typed.result_type.__name__}")
    assert {method.name for method in methods()} < set(dir(ClientMethods))


def test_every_option_is_described(description: Any) -> None:
    for method in methods():
        body = description["paths"][f"/v1/{method.path}"]["post"]["requestBody"]["content"]
        members = body["application/json"]["schema"]["properties"]
        undocumented = [name for name, member in members.items() if not member.get("description")]
        assert set(undocumented) <= {"model", "version"}, method.name
        assert not {"cancel", "progress"} & set(members)


def test_no_status_and_no_schema_of_the_framework_is_left(description: Any) -> None:
    text = json.dumps(description)
    assert '"422"' not in text
    assert "HTTPValidationError" not in text
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names <= set(description["components"]["schemas"])


def test_requests_made_from_the_description_get_documented_responses(
    page: PageClient, operations: list[Any]
) -> None:
    known = page.request("POST", "v1/photos", photo_file()).json["photo"]
    for operation in operations:
        limits = settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

        @limits
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            if isinstance(case.body, dict):
                case.body.pop("timeout_s", None)  # a short one ends with 504, as documented
                if isinstance(case.body.get("photo"), str):
                    case.body["photo"] = known
            case.call_and_validate(base_url=page.url.rstrip("/"), checks=list(CHECKS), timeout=60)

        check()


@pytest.mark.parametrize("path", ["project", "occlude", "invariance"])
def test_results_match_their_schemas(page: PageClient, photo: bytes, path: str) -> None:
    (method,) = [method for method in methods() if method.path == path]
    name = "photos" if "photos" in method.arguments else "photo"
    answer = page.upload(f"v1/{path}", (name, photo), ("parameters", '{"tensors": true}'))
    response_model(method.result).model_validate_json(answer.body)


class _References(HTMLParser):
    """Collects the scripts, styles and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, value or "") for name, value in attributes if name in ("href", "src")]
        assert not [name for name, _ in attributes if name == "style" or name.startswith("on")]


def test_the_documentation_needs_no_other_site_and_no_script(page: PageClient, description: Any) -> None:
    answer = page.get("docs")
    assert answer.headers["content-type"].startswith("text/html")
    text, references = answer.body.decode(), _References()
    references.feed(text)
    targets = {value for _, value in references.found if not value.startswith("#")}
    assert targets == {"docs.css", "openapi.json"}
    assert all(page.get(target).status == 200 for target in targets)
    assert "script" not in {tag for tag, _ in references.found}
    assert all(f"{path.lstrip('/')}</code>" in text for path in description["paths"])
