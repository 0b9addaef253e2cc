"""The parts of a running Understudy, made from settings; shared by the app and the command line."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.availability import availability
from core.catalog import Catalog, located
from core.catalog_files import load_catalog
from core.chats import Chats
from core.engines.base import Engine
from core.engines.zero_gpu import import_spaces
from core.gateway.allow import RateLimiter
from core.gateway.breaker import Breaker
from core.gateway.cache import AnswerCache
from core.gateway.gateway import Gateway
from core.gateway.governor import Governor
from core.gateway.traffic import Traffic
from core.observe import Ledger
from core.pool import ModelPool
from core.providers.base import Provider
from core.providers.endpoint import EndpointProvider
from core.providers.local import LocalProvider
from core.providers.ollama import OllamaProvider
from core.providers.replay import ReplayProvider
from core.registered import RegisteredAdapters
from core.settings import Settings
from core.store import Conversations, Store, open_store
from core.store.adapters import StoredAdapters


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a tab, a route or a command may use."""

    settings: Settings
    catalog: Catalog
    gateway: Gateway
    pool: ModelPool[Engine]
    store: Store
    ledger: Ledger
    conversations: Conversations
    chats: Chats
    local: LocalProvider

    def place_models(self) -> None:
        """On a ZeroGPU Space, load every model of this disk with its adapters: later it can't.

        Raises:
            UnavailableError: one can't be loaded, or they don't fit together.
        """
        if not self.settings.is_zero_gpu:
            return
        for name, model in self.catalog.models.items():
            target = self.catalog.resolve(name)
            if model.provider == "local" and availability(self.catalog, target).is_ready:
                adapters = self.catalog.adapters.get(name, {})
                folders = {version: located(a.path) for version, a in adapters.items()}
                self.local.place(target, folders)

    def close(self) -> None:
        """Free the weights, and the connections to servers and the database."""
        self.gateway.traffic.close()
        self.pool.close()
        self.store.close()


def make_services(settings: Settings) -> Services:
    """Open the store and make the parts; no model is loaded and no network is touched.

    Raises:
        InputError: the catalog is wrong.
        StorageError: the store can't be opened.
    """
    listed = load_catalog(settings)
    store = open_store(settings.database_url)
    catalog = _with_registered(listed, store, settings)
    ledger = Ledger(store)
    pool = _pool(settings, catalog)
    local = _local(settings, catalog, pool)
    providers: Mapping[str, Provider] = {
        "local": local,
        "endpoint": EndpointProvider(settings.environment),
        "ollama": OllamaProvider(settings.environment),
        "replay": ReplayProvider(),
    }
    traffic = Traffic(
        catalog=catalog,
        providers=providers,
        cache=AnswerCache(store),
        governor=Governor(store, catalog.quotas),
        breaker=Breaker(),
    )
    gateway = Gateway(traffic, RateLimiter(catalog.limits), ledger)
    conversations = Conversations(store)
    return Services(
        settings=settings,
        catalog=catalog,
        gateway=gateway,
        pool=pool,
        store=store,
        ledger=ledger,
        conversations=conversations,
        chats=Chats(gateway, conversations),
        local=local,
    )


def _with_registered(catalog: Catalog, store: Store, settings: Settings) -> Catalog:
    """Return the catalog with the adapters that are registered by now, at any time."""
    local = [name for name, model in catalog.models.items() if model.provider == "local"]
    stored, folder = StoredAdapters(store), settings.home / "adapters"
    return replace(catalog, adapters=RegisteredAdapters(catalog.adapters, local, stored, folder))


def _pool(settings: Settings, catalog: Catalog) -> ModelPool[Engine]:
    # What a ZeroGPU Space has unloaded it can't load again.
    idle_s = math.inf if settings.is_zero_gpu else catalog.unload_after_s
    return ModelPool(int(catalog.loaded_gb * 1e9), idle_s)


def _local(settings: Settings, catalog: Catalog, pool: ModelPool[Engine]) -> LocalProvider:
    return LocalProvider(
        pool,
        settings.environment.get("HF_TOKEN"),
        settings.home / "gguf",
        catalog.adapters,
        import_spaces() if settings.is_zero_gpu else None,
    )
