"""What tests of experiments share: a store with experiments, and the program."""

import json
import sys
from contextlib import closing

import pytest

from core.services import make_services
from evals.__main__ import main
from evals.arena.experiments import Experiments

PRICED = {"input_per_million": 2.0, "output_per_million": 4.0, "as_of": "2026-11-01"}


@pytest.fixture
def parts(settings, write_catalog):
    entry = {"provider": "endpoint", "base_url": "http://127.0.0.1:9/v1", "context": 4096}
    write_catalog(
        models={
            "twin": {"provider": "local", "path": "assets/models/understudy", "context": 1024},
            "paid": {**entry, "served_model": "paid", "price": PRICED},
            "free": {**entry, "served_model": "free"},
        },
        chains={"both": {"models": ["paid", "free"]}},
    )
    with closing(make_services(settings)) as services:
        yield services


@pytest.fixture
def lab(parts):
    return Experiments.of(parts)


@pytest.fixture
def evals(monkeypatch, capfd):
    """Return what runs the program here: its exit code, and the one object on stdout."""

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["evals", *map(str, arguments), "--json"])
        capfd.readouterr()
        try:
            found = main()
        except SystemExit as end:
            found = end.code
        out, err = capfd.readouterr()
        assert found == code, err
        return json.loads(out) if out else err

    return run
