"""What the Compare tab works with."""

from dataclasses import dataclass
from pathlib import Path

from core.access import Access
from core.gateway.gateway import Gateway
from core.services import Services
from core.settings import PROJECT
from tabs.compare_markup import ComparePages
from tabs.stops import Stops
from tabs.vote_parts import VoteParts, make_vote_parts


@dataclass(frozen=True, slots=True)
class CompareParts:
    """What the tab's sections work with; shared by all sessions."""

    gateway: Gateway
    access: Access
    home: Path
    pages: ComparePages
    stops: Stops
    votes: VoteParts
    """What Battle, Ratings and Experiments work with."""


def make_compare(services: Services, access: Access) -> CompareParts:
    """Return the parts; nothing is read yet."""
    return CompareParts(
        gateway=services.gateway,
        access=access,
        home=services.settings.home,
        pages=ComparePages(PROJECT / "assets" / "pages"),
        stops=Stops(),
        votes=make_vote_parts(services, access),
    )
