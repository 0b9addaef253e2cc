"""The parts of the sections Battle, Ratings and Experiments, from those of a running Understudy."""

from dataclasses import dataclass

from core.access import Access
from core.services import Services
from core.settings import PROJECT
from evals.arena.arena import Arena
from evals.arena.experiments import Experiments
from evals.arena.standings import Standings
from tabs.battle_parts import BattleParts
from tabs.chat_options import model_choices
from tabs.experiment_parts import ExperimentParts, Panels
from tabs.ratings import RatingsParts
from tabs.vote_dataset import DatasetParts
from tabs.vote_pages import VotePages


@dataclass(frozen=True, slots=True)
class VoteParts:
    """What each section works with."""

    battle: BattleParts
    experiments: ExperimentParts
    ratings: RatingsParts


def make_vote_parts(services: Services, access: Access) -> VoteParts:
    """Return the parts; nothing is read yet."""
    pages, home = VotePages(PROJECT / "assets" / "pages"), services.settings.home
    experiments = Experiments.of(services)

    def models() -> list[tuple[str, str]]:
        return model_choices(services.gateway.traffic)

    return VoteParts(
        battle=BattleParts(
            arena=Arena(services.gateway, services.store, home, experiments.running_pair),
            pages=pages,
            access=access,
            home=home,
        ),
        experiments=ExperimentParts(experiments, Panels(experiments), pages, access, home, models),
        ratings=RatingsParts(
            Standings(services.store), pages, DatasetParts(services.store, access, home)
        ),
    )
