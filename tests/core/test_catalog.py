import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

from core.availability import availability
from core.catalog import located
from core.catalog_files import load_catalog
from core.errors import InputError, ModelNotAllowedError
from core.settings import Settings

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
LOCAL = {"provider": "local", "path": "assets", "context": 10}
HUB = {"provider": "local", "hub": "org/some", "revision": COMMIT, "context": 10}
FAR = {
    "provider": "endpoint",
    "base_url": "http://127.0.0.1:9/v1",
    "served_model": "m",
    "context": 10,
}


@pytest.fixture
def load(tmp_path: Path):
    """Return what lays entries over the shipped catalog and reads both, in an environment."""

    def read(environment: dict[str, str] | None = None, **entries: object):
        (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
        values = {"UNDERSTUDY_HOME": str(tmp_path), **(environment or {})}
        return load_catalog(Settings.from_env(values))

    return read


def reason(catalog, name: str) -> str:
    return availability(catalog, catalog.resolve(name)).reason


def test_the_shipped_catalog_is_valid(load):
    catalog = load()
    assert catalog.default_model in catalog.models
    assert {"lead", "understudy"} <= set(catalog.ids())
    for name, entry in catalog.models.items():
        assert entry.description, name
        for path in (entry.system, entry.tools):
            assert path is None or located(path).is_file(), name
        if entry.hub:
            assert entry.download_gb, name
            assert set(entry.revision) <= set("0123456789abcdef"), name


def test_home_is_laid_over_key_by_key(load, tmp_path):
    catalog = load(models={"lead": {"context": 77}}, limits={"new_tokens": 5})
    assert catalog.models["lead"].context == 77
    assert catalog.models["lead"].path == "assets/models/lead"
    assert catalog.limits.new_tokens == 5
    assert catalog.limits.requests_per_minute == 60
    assert catalog.origins["models.lead.context"] == str(tmp_path / "catalog.yaml")
    assert catalog.origins["models.lead.path"].endswith("assets/catalog.yaml")


def test_an_id_may_name_an_adapter(load):
    catalog = load(models={"m": LOCAL}, adapters={"m": {"v1": {"path": "a"}, "2.0": {"path": "b"}}})
    assert [name for name in catalog.ids() if name.startswith("m@")] == ["m@v1", "m@2.0"]
    target = catalog.resolve("m@2.0")
    assert (target.id, target.model_id, target.version) == ("m@2.0", "m", "2.0")
    assert target.adapter.path == "b"
    assert catalog.resolve("m").adapter is None
    with pytest.raises(ModelNotAllowedError, match="'m' has no adapter 'v9'; its adapters: v1, 2"):
        catalog.resolve("m@v9")
    with pytest.raises(ModelNotAllowedError, match="no model named 'nope'; choose one of: lead, "):
        catalog.resolve("nope")
    with pytest.raises(ModelNotAllowedError, match="'lead' has no adapter 'v1'; .*: none"):
        catalog.resolve("lead@v1")
    with pytest.raises(ModelNotAllowedError, match="'m' has no adapter ''; its adapters: v1, 2"):
        catalog.resolve("m@")  # Not the base model under another name.


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (
            {"models": {"m": {**LOCAL, "contxt": 1}}},
            r"models\.m\.contxt: unknown key; did you mean 'context'\?",
        ),
        ({"modles": {}}, r"catalog: modles: unknown key; did you mean 'models'\?"),
        ({"zzzzz": 1}, "catalog: zzzzz: unknown key$"),
        (
            {"limits": {"new_token": 1}},
            r"limits\.new_token: unknown key; did you mean 'new_tokens'\?",
        ),
        ({"models": {"m": {**LOCAL, "context": "many"}}}, r"models\.m\.context: .*integer"),
        ({"models": {"m": {**LOCAL, "context": 0}}}, "context must be at least 2, got 0"),
        ({"models": {"m": {**LOCAL, "precision": "fp8"}}}, r"models\.m\.precision: .*'fp32'"),
        ({"models": {"m": {**LOCAL, "provider": "cloud"}}}, r"models\.m\.provider: .*'endpoint'"),
        ({"models": {"m": {"provider": "local", "path": "x"}}}, r"models\.m\.context: .*required"),
        ({"models": {"m": {**LOCAL, "needs": 5}}}, r"models\.m\.needs"),
        ({"models": {"m": "lead"}}, r"models\.m: "),
        ({"models": ["lead"]}, "catalog: models: "),
        ({"models": {1: LOCAL}}, r"models\.1"),
        ({"models": {"a@b": LOCAL}}, "'a@b' can't be a model id"),
        ({"models": {" a": LOCAL}}, "' a' can't be a model id"),
        ({"models": {"m": {**LOCAL, "hub": "a/b"}}}, "needs either path or hub"),
        ({"models": {"m": {"provider": "local", "context": 5}}}, "needs either path or hub"),
        ({"models": {"m": {**HUB, "revision": None}}}, "needs a revision"),
        ({"models": {"m": {**LOCAL, "path": "/no/such/folder"}}}, "no folder '/no/such/folder'"),
        ({"models": {"m": {**FAR, "base_url": None}}}, "needs base_url, which begins with http"),
        ({"models": {"m": {**FAR, "base_url": "example.com/v1"}}}, "needs base_url, which begins"),
        ({"models": {"m": {**FAR, "base_url": "http://[x"}}}, "needs base_url, which begins"),
        ({"models": {"m": {**FAR, "served_model": None}}}, "and served_model"),
        ({"models": {"m": {**FAR, "key": "sk-secret"}}}, r"write the key as \$\{NAME\}"),
        ({"default_model": "nope"}, "no model named 'nope'"),
        ({"adapters": {"nope": {"v1": {"path": "x"}}}}, "there is no model of this name"),
        (
            {"models": {"m": FAR}, "adapters": {"m": {"v1": {"path": "x"}}}},
            "adapters are loaded into local models only",
        ),
        ({"limits": {"new_tokens": 0}}, "new_tokens must be at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_said(load, entries, said):
    with pytest.raises(InputError, match=said) as refused:
        load(**entries)
    assert "sk-secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["{", "- lead", "models: [", "a: b: c", b"\xff\xfe\x00"])
def test_a_file_that_is_no_mapping_is_named(load, tmp_path, text):
    path = tmp_path / "catalog.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match="catalog.yaml (can't be read as YAML|must hold)") as error:
        load_catalog(Settings.from_env({"UNDERSTUDY_HOME": str(tmp_path)}))
    assert "\n" not in str(error.value)


def test_variables_are_filled_in_and_keys_stay_in_the_environment(load):
    environment = {"HOST": "http://127.0.0.1:1", "MY_KEY": "sk-secret"}
    entry = {**FAR, "base_url": "${HOST}/v1", "key": "${MY_KEY}"}
    catalog = load(environment, models={"far": entry})
    assert catalog.models["far"].base_url == "http://127.0.0.1:1/v1"
    assert catalog.models["far"].key_variable == "MY_KEY"
    assert "sk-secret" not in repr(catalog)
    assert availability(catalog, catalog.resolve("far")).is_ready


def test_what_is_missing_is_named_once(load):
    entry = {**FAR, "base_url": "${HOST}/v1", "key": "${MY_KEY}", "needs": ["MY_KEY", "LICENCE"]}
    assert reason(load(models={"far": entry}), "far") == "needs HOST and MY_KEY and LICENCE"
    half = load({"HOST": "http://x", "LICENCE": "1"}, models={"far": entry})
    assert reason(half, "far") == "needs MY_KEY"


def test_shipped_endpoints_say_what_they_need(load):
    catalog = load()
    assert reason(catalog, "groq-llama-3.3-70b") == "needs GROQ_API_KEY"
    assert reason(catalog, "ollama-llama3.1") == "needs OLLAMA_BASE_URL"
    assert reason(catalog, "llama-3.1-8b") == "needs HF_TOKEN"
    ready = load({"GROQ_API_KEY": "k"})
    assert availability(ready, ready.resolve("groq-llama-3.3-70b")).is_ready


def test_folders_are_looked_for(load, tmp_path, tiny_folder):
    tiny = {**LOCAL, "path": str(tiny_folder)}
    adapters = {"tiny": {"v1": {"path": str(tmp_path)}, "v2": {"path": "no/such"}}}
    catalog = load(models={"tiny": tiny, "m": LOCAL}, adapters=adapters)
    assert reason(catalog, "m") == "folder assets is not on this disk"
    assert [reason(catalog, name) for name in ("tiny", "tiny@v1")] == ["", ""]
    assert reason(catalog, "tiny@v2") == "adapter folder no/such is not on this disk"


def test_a_hub_model_is_ready_once_it_is_cached(load, tiny_folder):
    catalog = load(models={"some": {**HUB, "download_gb": 0.27}, "any": HUB})
    before = availability(catalog, catalog.resolve("some"))
    assert (before.is_ready, before.is_download) == (False, True)
    assert before.reason == "not on this disk; will download 0.27 GB"
    assert reason(catalog, "any") == "not on this disk; will download an unknown size"
    folder = Path(constants.HF_HUB_CACHE) / "models--org--some" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    shutil.copy(tiny_folder / "config.json", folder)
    assert not availability(catalog, catalog.resolve("some")).is_ready
    shutil.copy(tiny_folder / "model.safetensors", folder)
    assert availability(catalog, catalog.resolve("some")).is_ready
