"""The doctor asks real Envoys: nothing is found in ours, and every defect where Envoy runs it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extproc.doctor.http_admin import ask
from extproc.doctor.reading import Report, report
from extproc.embedded.ports import free_port
from extproc.envoy_profile import bootstrap
from tests.ai_gateway import plain_only
from tests.extproc.doctor.parts import of_bootstrap
from tests.extproc.doctor.variants import ALL, PLAIN, Variant
from tests.gateway import running_gateway, settings
from tests.servers import HOST, running_envoy


def asked(admin: int) -> Report:
    dump, server_info = ask(f"{HOST}:{admin}")
    return report(dump, server_info=server_info)


async def test_nothing_is_found_in_a_gateway_that_runs() -> None:
    async with running_gateway() as gateway:
        found = asked(gateway.envoy.admin)
    assert found.findings == []
    assert found.unknown == ()


def ours() -> dict[str, Any]:
    listen = {"address": HOST, "port": free_port()}
    given = settings("http://127.0.0.1:9", listen=listen, server={"listen": "unix:/tmp/nobody.sock"})
    return bootstrap(given, admin=f"{HOST}:{free_port()}", response_fields=())


@plain_only("the variants are of the plain profile")
@pytest.mark.parametrize("variant", [each for each in ALL if PLAIN in each.profiles], ids=str)
def test_what_envoy_runs_and_should_not_is_found(variant: Variant) -> None:
    parts = of_bootstrap(ours())
    variant.change(parts)
    socket = parts.whole["admin"]["address"]["socket_address"]
    socket["port_value"] = socket["port_value"] or free_port()
    with running_envoy(parts.whole) as envoy:
        found = asked(envoy.admin)
    assert {finding.code for finding in found.findings} == {variant.code}, json.dumps([f.what for f in found.findings])
