"""The commands as they are typed, on a real Valkey."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.cli.app import GROUP, run
from policies.limits.limit import KINDS
from policies.limits.subjects import Level, Subject
from policies.limits.tokens.learned import Learned
from policies.limits.watch import Watch
from tests.policies.limits.stocked import TENANT, Stock, stocked, write_configuration
from tests.redis_servers import RedisServer

PLUGIN = EntryPoint("limits", "policies.limits.commands:app", GROUP)
ALICE = Subject(TENANT, ((Level.USER, "alice"),))


@dataclass
class Typed:
    """Types commands on limits, and reads what is answered."""

    config: Path
    server: RedisServer
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str, status: int = 0) -> list[str]:
        """The lines on stdout; on stderr where the status is not 0."""
        found = run(["limits", *words, "--config", str(self.config)], plugins=[PLUGIN])
        written = self.capsys.readouterr()
        assert found == status, written
        return (written.err if status else written.out).splitlines()

    def json(self, *words: str) -> Any:
        return json.loads("\n".join(self(*words, "--json")))

    def rows(self, *words: str) -> dict[str, list[str]]:
        """Cells by the first cell of their row."""
        lines = self(*words)
        cells = [[cell for cell in line.split("  ") if cell] for line in lines]
        return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in cells}


@pytest.fixture
def typed(valkey: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    async def fill(stock: Stock) -> None:
        await stock.registry.remember(TENANT, "contoso")
        for index, (user, tokens) in enumerate([("alice", 400), ("bob", 900), ("bob", 50), ("carol", 700)]):
            await stock.use(f"r{index}", user, tokens)
        await stock.reserve("open", "alice", output=60)

    stocked(valkey.settings(timeout=5), fill)
    return Typed(write_configuration(tmp_path, {"url": valkey.address}, models=("gpt-5",)), valkey, capsys)


def test_show_a_tenant(typed: Typed) -> None:
    rows = typed.rows("show", "contoso")
    # Four exchanges of 2,050 tokens, and 160 that are reserved.
    assert rows["tokens_per_month"][:5] == ["1,000,000", "2,210", "997,790", "0.2%", "160"]
    assert rows["tokens_per_month"][-1] == "limits[2]"
    assert rows["dollars_per_month"][:5] == ["$25.50", "$0.02135", "$25.47865", "0.1%", "$0.00085"]
    assert [*rows] == ["contoso", "kind", "tokens_per_month", "dollars_per_month"]


@pytest.mark.parametrize("words", [["show", "contoso"], ["top", "contoso"], ["changes"], ["estimates"]])
def test_the_configuration_comes_last_or_as_an_option(words: list[str], typed: Typed) -> None:
    head = typed(*words)[0]
    assert run(["limits", *words, str(typed.config)], plugins=[PLUGIN]) == 0
    assert typed.capsys.readouterr().out.splitlines()[0] == head
    assert "expected CONFIG or --config" in "".join(typed(*words, str(typed.config), status=2))


def test_show_a_user_as_far_as_it_is_known(typed: Typed) -> None:
    rows = typed.rows("show", "contoso/user=alice")
    assert rows["tokens_per_day"][:5] == ["10,000", "560", "9,440", "5.6%", "160"]
    assert rows["tokens_per_day"][-1] == "limits[0]"
    assert "limits[1] may bear on it as well, depending on role: say --role" in rows
    assert "requests_per_month" not in rows
    lead = typed.rows("show", "contoso/user=alice", "--role", "TeamLead")
    assert lead["tokens_per_day"][0] == "50,000"
    assert lead["requests_per_month"][:2] == ["900", "0"]
    assert not any("may bear" in line for line in lead)


def test_show_a_counter_whose_limit_is_not_known(typed: Typed) -> None:
    async def use(stock: Stock) -> None:
        await stock.use("as-lead", "alice", 5, roles=frozenset({"TeamLead"}))

    stocked(typed.server.settings(timeout=5), use)
    row = typed.rows("show", "contoso/user=alice")["requests_per_month"]
    assert row[:2] == ["-", "1"]
    assert row[-1] == "limits[1] for some role"


def test_show_all_that_bears_on_a_caller(typed: Typed) -> None:
    lines = typed("show", "contoso/user=alice", "--all", "--model", "gpt-5-mini")
    of = [line.split()[:2] for line in lines[2:] if "may bear" not in line]
    assert sorted(map(tuple, of)) == sorted(
        [
            *(("contoso/user=alice", kind) for kind in ("requests_per_minute", "tokens_per_day")),
            ("contoso/user=alice,model=gpt-5-mini", "parallel_requests"),
            *(("contoso", kind) for kind in ("tokens_per_month", "dollars_per_month")),
            ("everyone", "tokens_per_day"),
        ]
    )
    assert next(line for line in lines if line.startswith("everyone")).endswith("limits[4] (in shadow)")


def test_show_everyone(typed: Typed) -> None:
    rows = typed.rows("show", "everyone")
    assert rows["tokens_per_day"][:2] == ["2,000,000", "2,210"]
    # There is no option that says of which tenant everyone is.
    assert "limits[5] may bear on it as well, depending on tenant" in rows


def test_show_for_programs(typed: Typed) -> None:
    found = typed.json("show", "contoso/user=alice")
    assert (found["subject"], found["label"]) == (f"{TENANT}/user=alice", "contoso/user=alice")
    by_kind = {one["kind"]: one for one in found["limits"]}
    day = by_kind["tokens_per_day"]
    assert {name: day[name] for name in ("limit", "used", "left", "share", "reserved", "unit", "source")} == {
        "limit": 10_000,
        "used": 560,
        "left": 9_440,
        "share": 0.056,
        "reserved": 160,
        "unit": "tokens",
        "source": "limits[0]",
    }
    assert 0 < day["resets_in"] <= 86_400_000
    assert found["depends"] == [{"entry": "limits[1]", "on": ["role"]}]
    assert found["reserved_is_whole"] is True


def test_show_somebody_of_whom_nothing_is_known(typed: Typed) -> None:
    assert typed("show", "contoso/app=nobody") == ["contoso/app=nobody", "no limit, and nothing counted"]


def test_what_is_set_counts_everywhere(typed: Typed) -> None:
    lines = typed("set", "contoso/user=alice", "tokens_per_day", "600", "--by", "kim")
    assert lines == ["before: 10,000 tokens (limits[0])", "after:  600 tokens (set by kim)"]

    async def look(stock: Stock) -> None:
        watch = Watch(stock.registry, stock.plans.override, lease=60)
        await watch.look()
        assert not (await stock.reserve("refused", "alice")).admitted
        assert (await stock.reserve("admitted", "bob")).admitted

    stocked(typed.server.settings(timeout=5), look)
    row = typed.rows("show", "contoso/user=alice")["tokens_per_day"]
    assert row[:4] == ["600", "560", "40", "93.3%"]
    assert row[-1].startswith("set by kim, 20")


def test_set_nothing_suspends(typed: Typed) -> None:
    lines = typed("set", "contoso", "requests_per_minute", "0")
    assert lines[0] == "before: no limit"
    assert lines[-1] == "contoso is suspended: its requests are refused with 403"

    async def look(stock: Stock) -> bool:
        stock.plans.override(await stock.registry.overrides())
        return (await stock.reserve("refused", "bob")).admitted

    assert not stocked(typed.server.settings(timeout=5), look)
    row = typed.rows("show", "contoso")["requests_per_minute"]
    assert (row[0], row[3]) == ("0", "suspended")


def test_unset_leads_back_to_what_is_configured(typed: Typed) -> None:
    assert typed("set", "contoso", "dollars_per_month", "--unset") == [
        "contoso dollars_per_month: nothing is set at run time"
    ]
    typed("set", "contoso", "dollars_per_month", "0.75", "--by", "kim")
    lines = typed("set", "contoso", "dollars_per_month", "--unset", "--by", "lee")
    assert lines[0].startswith("before: $0.75 (set by kim, ")
    assert lines[1] == "after:  $25.50 (limits[2])"
    typed("set", "everyone", "tokens_per_month", "5")
    assert typed("set", "everyone", "tokens_per_month", "--unset")[1] == "after:  no limit"
    told = [(one["by"], one["action"], one["before"], one["after"]) for one in typed.json("changes", "-n", "4")][2:]
    assert told == [("lee", "unset", 750_000, None), ("kim", "set", None, 750_000)]


def test_a_limit_of_dollars_says_which_models_it_refuses(typed: Typed, tmp_path: Path) -> None:
    """Those that neither the configuration nor the list of published prices knows."""
    models = [{"name": "own", "price": {"input": 1, "output": 1}}, "gpt-4o", "unheard-of"]
    limits = {"redis": {"url": typed.server.address}, "limits": [{"subject": "user", "requests_per_minute": 60}]}
    tenants = [{"id": TENANT, "name": "contoso"}]
    whole = {
        "upstreams": [{"name": "main", "provider": "openai", "url": "https://api.openai.com/v1", "models": models}],
        "policies": [
            {"policy": "entra", "settings": {"audiences": ["api://sluicegate"], "tenants": tenants}},
            {"policy": "limits", "settings": limits},
        ],
    }
    config = tmp_path / "whole.yaml"
    config.write_text(yaml.safe_dump(whole))
    command = ["limits", "set", "contoso", "dollars_per_day", "1.5", "--config", str(config)]
    assert run(command, plugins=[PLUGIN]) == 0
    assert typed.capsys.readouterr().err == "warning: models without a price are refused under it: main/unheard-of\n"


def test_a_limit_is_set_beside_a_configuration_that_is_not_whole(typed: Typed) -> None:
    command = ["limits", "set", "contoso", "dollars_per_day", "1.5", "--config", str(typed.config)]
    assert run(command, plugins=[PLUGIN]) == 0
    assert typed.capsys.readouterr().err == ""


def test_a_tenant_that_has_sent_nothing_yet(typed: Typed) -> None:
    assert typed("set", "t-new", "tokens_per_day", "0", status=2)[0].startswith("sluicegate: no tenant 't-new'")
    typed("set", "t-new", "tokens_per_day", "0", "--unseen")
    assert typed.rows("show", "t-new")["tokens_per_day"][0] == "0"


def test_reset_some(typed: Typed) -> None:
    assert typed("reset", "contoso/user=alice", "tokens_per_day") == ["contoso/user=alice: 1 counter set back to nothing"]
    row = typed.rows("show", "contoso/user=alice")["tokens_per_day"]
    assert row[1:5] == ["0", "10,000", "0.0%", "0"]

    async def settle(stock: Stock) -> None:
        # What was reserved before the reset is not settled in what was reset.
        await stock.settle("open", 900, 0)

    stocked(typed.server.settings(timeout=5), settle)
    assert typed.rows("show", "contoso/user=alice")["tokens_per_day"][1] == "0"
    assert typed.rows("show", "contoso")["tokens_per_month"][1] == "2,950"


def test_reset_all(typed: Typed) -> None:
    assert typed("reset", "contoso") == ["contoso: 2 counters set back to nothing"]
    assert {row[1] for kind, row in typed.rows("show", "contoso").items() if kind in KINDS} == {"0", "$0.00"}
    assert typed.rows("show", "contoso/user=bob")["tokens_per_day"][1] == "950"
    (change,) = typed.json("changes")
    assert (change["action"], change["kind"].split(",")) == ("reset", list(KINDS))
    assert " contoso  all  " in typed("changes")[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["contoso"], [("bob", 950, 10_000), ("carol", 700, 10_000), ("alice", 560, 10_000)]),
        (["contoso", "-n", "1"], [("bob", 950, 10_000)]),
        ([TENANT, "--by", "requests_per_month"], []),
        (["everyone", "--most", "2"], [("bob", 950, 10_000), ("carol", 700, 10_000)]),
        (["contoso", "--level", "app"], []),
        (["contoso", "--level", "user,model"], []),
    ],
)
def test_top(words: list[str], expected: list[tuple[str, int, int]], typed: Typed) -> None:
    found = typed.json("top", *words)
    assert found["whole"] is True
    assert [(one["subject"], one["used"], one["limit"]) for one in found["lines"]] == [
        (f"{TENANT}/user={user}", used, limit) for user, used, limit in expected
    ]


def test_top_of_tenants(typed: Typed) -> None:
    lines = typed("top", "everyone", "--level", "tenant", "--by", "dollars_per_month")
    assert [line.split() for line in lines] == [
        ["subject", "dollars_per_month", "limit", "share"],
        ["contoso", "$0.02135", "$25.50", "0.1%"],
    ]


def test_estimates(typed: Typed) -> None:
    async def learn(stock: Stock) -> None:
        for model, count in (("gpt-4o", 300), ("new", 1)):
            sums = Learned()
            for _ in range(count):
                sums.add(100, 80, 50)
            await stock.registry.learn(model, sums)

    stocked(typed.server.settings(timeout=5), learn)
    rows = typed.rows("estimates")
    assert rows["gpt-4o"] == ["300", "0.800", "0.880", "50", "50"]
    assert rows["new"] == ["1", "0.800", "1.000", "50", "-"]
    assert [(one["model"], one["samples"]) for one in typed.json("estimates")] == [("gpt-4o", 300), ("new", 1)]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["show", "contos"], "no tenant 'contos' has been seen: did you mean 'contoso'?"),
        (["show", "contoso/tenant=x"], "'contoso/tenant=x' is no subject: expected one of department, "),
        (["show", "contoso/model=a", "--model", "m"], "--model m: the subject says model=a"),
        (["set", "contoso", "tpd", "1"], "'tpd' is no kind of limit: expected one of requests_per_minute, "),
        (["set", "contoso", "tokens_per_day", "1.5"], "tokens_per_day: expected a whole number from 0 to "),
        (["set", "contoso", "tokens_per_day"], "expected an AMOUNT, or --unset"),
        (["set", "contoso", "tokens_per_day", "1", "--unset"], "expected an AMOUNT, or --unset"),
        (["set", "nobody", "tokens_per_day", "1"], "no tenant 'nobody' has been seen, known are contoso"),
        (["reset", "contoso", "tpd"], "'tpd' is no kind of limit: expected one of requests_per_minute, "),
        (["reset", "nobody"], "no tenant 'nobody' has been seen, known are contoso"),
        (["top", "nobody"], "no tenant 'nobody' has been seen, known are contoso"),
        (["top", "contoso", "--by", "x"], "'x' is no kind of limit: expected one of requests_per_minute, "),
        (["top", "contoso", "--level", "x"], "--level x: expected one of tenant, department, "),
    ],
)
def test_what_is_typed_wrongly_is_told_in_a_line(words: list[str], line: str, typed: Typed) -> None:
    (told,) = typed(*words, status=2)
    assert told.startswith(f"sluicegate: {line}")


def test_nothing_that_was_written_steers_a_terminal(typed: Typed) -> None:
    typed("set", "contoso/user=%1B[2J", "tokens_per_day", "5", "--by", "k\x1b[2Jim" + "m" * 100)
    written = "\n".join([*typed("changes"), *typed("show", "contoso/user=%1B[2J")])
    assert "\x1b" not in written
    assert "k\\x1b[2Jim" in written
    assert "m" * 60 not in written


def test_a_terminal_is_asked(typed: Typed) -> None:
    def answer(text: bytes, *words: str) -> int:
        leader, follower = pty.openpty()
        program = "import sys; from tests.policies.limits.test_commands import PLUGIN, run; "
        program += "sys.exit(run(sys.argv[1:], plugins=[PLUGIN]))"
        command = [sys.executable, "-c", program, "limits", *words, "--config", str(typed.config)]
        try:
            os.write(leader, text)
            return subprocess.run(command, stdin=follower, capture_output=True, timeout=60, check=False).returncode
        finally:
            os.close(leader)
            os.close(follower)

    def used() -> str:
        return typed.rows("show", "contoso/user=alice")["tokens_per_day"][1]

    assert answer(b"n\n", "set", "contoso", "tokens_per_day", "5") == 1
    assert answer(b"n\n", "reset", "contoso/user=alice") == 1
    assert (used(), typed.json("changes")) == ("560", [])
    assert answer(b"y\n", "reset", "contoso/user=alice") == 0
    assert used() == "0"
    assert answer(b"", "set", "contoso", "tokens_per_day", "5", "--yes") == 0
    assert len(typed.json("changes")) == 2
