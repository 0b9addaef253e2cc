"""Exports that a page asks for: what may be asked, what is there, and what is sent of it."""

import io
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from core.digests import folder_digest
from core.errors import InputError, NotFoundError, StorageError
from core.services import Services
from tests.training.registry_runs import completed_run
from training.errands import Errands, start_process
from training.export_zip import zipped
from training.exports import KEPT, ExportOrder, find_export, made_exports, make_export
from training.registry import Registry


def registered(services: Services, adapter_folder: Path) -> str:
    """Return the name of a registered version."""
    home = services.settings.home
    completed_run(home, services.catalog, "a", adapter_folder)
    return Registry(services.store, home).register("a").name


def made(services: Services, order: ExportOrder) -> dict[str, object]:
    return dict(make_export(order.errand(services.settings).arguments, services.settings))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "../../etc"},
        {"kind": ""},
        {"kind": "gguf", "quantisation": "Q9"},
        {"push": "no-owner"},
        {"push": "../../x"},
        {"push": "a/b/c"},
        {"push": ""},
    ],
)
def test_what_can_not_be_made_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError):
        ExportOrder(**{"adapter": "a", "kind": "adapter", **wrong})


def test_a_push_without_a_token_is_refused_before_any_work(services: Services) -> None:
    order = ExportOrder(adapter="a", kind="adapter", push="me/mine")
    with pytest.raises(InputError, match="needs a token that may write: set HF_TOKEN"):
        order.errand(services.settings)
    settings = replace(services.settings, environment={"HF_TOKEN": "hf_x"})
    assert "hf_x" not in str(order.errand(settings).arguments)


def test_an_export_is_listed_found_by_name_and_sent_as_one_file(
    services: Services, adapter_folder: Path
) -> None:
    home, name = services.settings.home, registered(services, adapter_folder)
    assert made_exports(home) == ()
    done = made(services, ExportOrder(adapter=name, kind="adapter"))
    (found,) = made_exports(home)
    assert (found.key, str(found.folder)) == (f"{name}.adapter", done["path"])
    assert find_export(home, found.key) == found
    for key in ("../adapters/" + name, f"{name}.gguf.F16", "", "..", f"{found.key}/{name}"):
        with pytest.raises(NotFoundError):
            find_export(home, key)

    sent = b"".join(zipped(found.folder))
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        archive.extractall(home / "unpacked")
        assert archive.testzip() is None
    assert folder_digest(home / "unpacked" / name) == done["digest"] == folder_digest(found.folder)
    assert found.size_bytes == sum(path.stat().st_size for path in found.folder.iterdir())


def test_a_half_made_export_and_a_missing_version_are_none(
    services: Services, adapter_folder: Path
) -> None:
    home, name = services.settings.home, registered(services, adapter_folder)
    (home / "exports" / f"{name}.merged" / f".{name}-draft").mkdir(parents=True)
    assert made_exports(home) == ()
    with pytest.raises(NotFoundError):
        made(services, ExportOrder(adapter="nothing-v1", kind="adapter"))
    (home / "adapters" / name / "adapter_config.json").unlink()
    with pytest.raises(StorageError, match="not what was registered"):
        made(services, ExportOrder(adapter=name, kind="adapter"))
    assert made_exports(home) == ()


def test_the_newest_few_stay(services: Services, adapter_folder: Path) -> None:
    home, name = services.settings.home, registered(services, adapter_folder)
    for age in range(KEPT + 2):
        old = home / "exports" / f"old-{age}.adapter" / f"old-{age}"
        old.mkdir(parents=True)
        os.utime(old, (10**9 - age, 10**9 - age))
    made(services, ExportOrder(adapter=name, kind="adapter"))
    keys = [each.key for each in made_exports(home)]
    assert keys == [f"{name}.adapter", *(f"old-{age}.adapter" for age in range(KEPT - 1))]


def test_a_process_of_its_own_makes_it_and_tells(services: Services, adapter_folder: Path) -> None:
    name = registered(services, adapter_folder)
    children = []

    def start(folder: Path) -> "subprocess.Popen[bytes]":
        children.append(start_process(folder, services.settings))
        return children[-1]

    errands = Errands(services.settings, start)
    errands.ask(ExportOrder(adapter=name, kind="adapter").errand(services.settings))
    assert children[0].wait(120) == 0
    done = errands.newest("export")
    assert done is not None
    assert (done.status, done.error) == ("done", "")
    assert done.result["path"] == str(find_export(services.settings.home, f"{name}.adapter").folder)
