"""What a run draws, by codecarbon without network: each figure says how it is known, and of which grid it speaks."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.compute import provenance
from headwater.compute.program.surroundings import Energy
from tests.conftest import wait_for

pytest.importorskip("codecarbon")
WAIT: Any = {"timeout_s": 120, "what": "a figure"}


class Heard:
    """What a program's reporter would send."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}

    def say(self, *, energy: dict[str, Any]) -> None:
        self.last = energy


def counted(**environ: str) -> dict[str, Any]:
    heard = Heard()
    energy = Energy(heard, {f"HEADWATER_RUN_{name}": value for name, value in environ.items()})
    energy.start()
    wait_for(lambda: sum(range(200_000)) and heard.last, **WAIT)
    energy.stop()
    assert energy.latest() == heard.last
    return heard.last


def test_a_figure_says_how_it_is_known_and_of_which_grid() -> None:
    of_province = counted(COUNTRY="CHN", PROVINCE="Sichuan")
    assert of_province["kwh"] > 0
    assert of_province["g_co2e"] == pytest.approx(of_province["kwh"] * of_province["g_per_kwh"])
    assert of_province["power"] in ("measured", "modelled")
    assert of_province["parts"]["ram"] == "modelled"
    assert (of_province["grid"], of_province["country"], of_province["province"]) == ("modelled", "CHN", "Sichuan")
    assert of_province["by"].startswith("codecarbon ")
    of_country = counted(COUNTRY="CHN", PROVINCE="Nowhere")
    assert of_country["province"] is None, "the country's figure does not pass for a province's"
    assert of_country["g_per_kwh"] > 2 * of_province["g_per_kwh"], "Sichuan's power is water's"


def test_what_the_operator_says_of_the_grid_holds() -> None:
    told = counted(COUNTRY="DEU", GRID_G_PER_KWH="12.5")
    assert (told["grid"], told["g_per_kwh"]) == ("declared", 12.5)
    assert told["g_co2e"] == pytest.approx(told["kwh"] * 12.5)
    facts = {"environment": {}, "invocation": "x", "started_on": None, "builder": "x", "build_type": "x", "recipe": {}}
    made = provenance.statement({**facts, "attempt": 1, "depends": []}, {"x": "e" * 64}, energy=told)
    assert [each["name"] for each in made["predicate"]["runDetails"]["byproducts"]] == ["energy"]


def test_nothing_of_it_needs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert counted(COUNTRY="CHN")["kwh"] > 0
