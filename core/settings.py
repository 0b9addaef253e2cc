"""What the environment says; read in one place, once, at start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The repository's folder; paths in `assets/catalog.yaml` are relative to it."""
VERSION = "0.1.0"
"""Of Understudy, as `pyproject.toml` and `CHANGELOG.md` have it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured from outside the repository."""

    home: Path
    """Where conversations, traces and runs are kept."""
    database_url: str
    """SQLAlchemy URL of the store."""
    admin_token: str | None
    """What an administrator signs in with; None: see `Access`."""
    api_key: str | None
    """What callers of `/v1` must present; None: open, within the limits."""
    is_space: bool
    """Whether this is a Hugging Face Space."""
    environment: Mapping[str, str]
    """The whole environment, for `${NAME}` in the catalog and for provider keys."""

    @staticmethod
    def from_env(environment: Mapping[str, str]) -> "Settings":
        """Read the settings; nothing is created or contacted."""
        is_space = "SPACE_ID" in environment
        volume = Path("/data")
        default = volume if is_space and os.path.ismount(volume) else Path.home()
        home = Path(environment.get("UNDERSTUDY_HOME") or default / ".understudy").expanduser()
        return Settings(
            home=home,
            database_url=environment.get("UNDERSTUDY_DATABASE_URL")
            or f"sqlite:///{home}/understudy.db",
            admin_token=environment.get("UNDERSTUDY_ADMIN_TOKEN") or None,
            api_key=environment.get("UNDERSTUDY_API_KEY") or None,
            is_space=is_space,
            environment=environment,
        )

    @property
    def is_zero_gpu(self) -> bool:
        """Whether this Space lends a GPU to each call instead of having one."""
        return self.environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")

    @property
    def is_persistent(self) -> bool:
        """Whether what is stored outlives a restart: everywhere but on a Space without a volume."""
        if not self.is_space:
            return True
        if not self.database_url.startswith("sqlite"):
            return True
        folder = self.home if self.home.exists() else self.home.parent
        return any(os.path.ismount(f) for f in (folder, *folder.parents) if f != Path("/"))
