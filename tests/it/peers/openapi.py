"""Holds a running Switchback against its OpenAPI document: openapi-spec-validator reads that, and schemathesis asks what it allows
and what it does not.

openapi.py ADDRESS SERVICE WEBHOOK     prints the statuses that each call was answered with, one call a line
"""
import collections
import json
import os
import sys
import tempfile

import httpx
import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.cli import schemathesis as command

ADDRESS, SERVICE, WEBHOOK = sys.argv[1:]
URL = f"http://{ADDRESS}"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
# What is asked is the same each time, and so much of it that the whole takes some seconds.
SEED, MOST_OF_A_CALL = 7, 5

answered = collections.defaultdict(collections.Counter)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leads what is allowed to what there is, every other time; names that are made up are of nobody."""
    label = case.operation.label
    if label == "GET /v1/events" and (case.query or {}).get("recent") in (None, "", False, "false"):
        # Without it the answer has no end.
        case.query = {**(case.query or {}), "recent": "true"}
    is_allowed = case.meta is not None and case.meta.generation.mode.is_positive
    if is_allowed and sum(answered[label].values()) % 2 == 0 and "name" in (case.path_parameters or {}):
        case.path_parameters["name"] = WEBHOOK if "webhooks" in label else SERVICE


@schemathesis.hook
def after_call(context, case, response):
    if case.method == case.operation.method.upper():
        answered[case.operation.label][response.status_code] += 1


document = httpx.get(f"{URL}/v1/openapi.json", trust_env=False).raise_for_status().json()
assert document["openapi"].startswith("3.1."), document["openapi"]
OpenAPIV31SpecValidator(document).validate()

# From a file, as it would not ask for the document itself otherwise; and what it leaves behind goes with the folder.
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    with open("openapi.json", "w") as file:
        json.dump(document, file)
    arguments = ["run", "openapi.json", f"--url={URL}", "--no-color", "--workers=1", "--no-shrink", "--warnings=off"]
    arguments += [f"--seed={SEED}", f"--max-examples={MOST_OF_A_CALL}", "--phases=examples,coverage,fuzzing"]
    arguments += ["--checks=" + ",".join(CHECKS), "--request-timeout=20", "--generation-database=none"]
    arguments += ["--suppress-health-check=all"]
    try:
        ended = command.main(arguments, standalone_mode=False) or 0
    except SystemExit as end:
        ended = end.code
    os.chdir("/")
for label, statuses in sorted(answered.items()):
    print("answered", label, *sorted(statuses))
sys.exit(ended)
