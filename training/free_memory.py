"""The memory that a run could take now: of the GPU, or of the machine and this process's cgroups.

Source: the kernel's documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
"""

from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")
"""Files of a group's limit and use, and the key in `memory.stat` of the cache within the use."""


def free_bytes() -> int:
    """Return the memory that a run could take now."""
    import psutil

    from core.providers.weights import has_cuda

    if has_cuda():
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return min([int(psutil.virtual_memory().available), *cgroup_rooms()])


def cgroup_rooms(proc: Path = PROC, root: Path = CGROUPS) -> Iterator[int]:
    """Yield the bytes left in each group around this process that has a limit; v1 and v2.

    What the files of a group keep in the cache, and could give up, counts as left.
    """
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _rooms(root, path, V2)
        elif "memory" in controllers.split(","):
            yield from _rooms(root / "memory", path, V1)


def _rooms(mount: Path, path: str, names: tuple[str, str, str]) -> Iterator[int]:
    """Yield what is left in a group and in those that it is in, the mount's own included."""
    inner = Path(path.lstrip("/"))
    # In a container the path may be the host's; then the group is the mount itself.
    for part in (inner, *inner.parents):
        if ".." not in part.parts and (room := _room(mount / part, names)) is not None:
            yield room


def _room(group: Path, names: tuple[str, str, str]) -> int | None:
    limit_name, used_name, cache_name = names
    try:
        limit = (group / limit_name).read_text(encoding="utf-8").strip()
        used = int((group / used_name).read_text(encoding="utf-8"))
        stat = dict(
            line.split(" ", 1)
            for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines()
        )
        return None if limit == "max" else max(0, int(limit) - used + int(stat.get(cache_name, 0)))
    except (OSError, ValueError):
        return None
