"""`validate.py CRATE PROFILE`: check a crate with the validator of its profile, without a network.

`make test-crate` runs it in an environment of its own, since what the validator needs clashes with
Snakemake's. The context of RO-Crate 1.1, which the validator would fetch, is made from that of 1.3,
which the library `rocrate` carries: of the terms used, only those of Bioschemas have moved.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import requests
import rocrate
from rocrate_validator.models import Severity
from rocrate_validator.services import ValidationSettings, validate
from rocrate_validator.utils.http import HttpRequester

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
MOVED = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}


def answer(requester: HttpRequester, url: str, **_: Any) -> requests.Response:
    """In place of the network: the context, and nothing else."""
    response = requests.Response()
    response.url, response.status_code = url, 404
    if url == CONTEXT:
        shipped = Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"
        terms = json.loads(shipped.read_text(encoding="utf-8"))["@context"]
        response.status_code = 200
        response.headers["Content-Type"] = "application/ld+json"
        response._content = json.dumps({"@context": {**terms, **MOVED}}).encode()
    return response


def main() -> int:
    HttpRequester.get = answer
    settings = ValidationSettings(
        rocrate_uri=Path(sys.argv[1]),
        profile_identifier=sys.argv[2],
        requirement_severity=Severity.RECOMMENDED,
    )
    result = validate(settings)
    for issue in result.get_issues():
        print(issue.severity.name, issue.check.identifier, issue.message)
    required = [issue for issue in result.get_issues() if issue.severity is Severity.REQUIRED]
    print(f"{len(result.executed_checks)} checks, {len(required)} requirements violated")
    return bool(required)


if __name__ == "__main__":
    sys.exit(main())
