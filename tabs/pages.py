"""What the tabs work with, made from the parts of a running Understudy."""

import os
from dataclasses import dataclass

from starlette.routing import BaseRoute

from core.access import Access
from core.services import Services
from tabs.chat_page import ChatParts
from tabs.compare_parts import CompareParts, make_compare
from tabs.leaderboard_page import LeaderboardParts
from tabs.leaderboard_parts import make_leaderboard
from tabs.look import UNCOUNTED
from tabs.train_parts import TrainParts, make_train
from tabs.train_version_download import download_route


@dataclass(frozen=True, slots=True)
class Pages:
    """The parts of each tab."""

    access: Access
    chat: ChatParts
    compare: CompareParts
    board: LeaderboardParts
    train: TrainParts

    @property
    def routes(self) -> list[BaseRoute]:
        """What is served beside the pages."""
        return [download_route(self.train)]

    def close(self) -> None:
        """End what works in the background; training runs go on, they have their own processes."""
        self.board.panel.runs.close()


def make_pages(services: Services, access: Access) -> Pages:
    """Return the parts; no run folder is read yet. Gradio is told not to count (`UNCOUNTED`).

    Raises:
        StorageError: the home can't be written.
    """
    os.environ.setdefault(*UNCOUNTED)
    board = make_leaderboard(services, access)
    return Pages(
        access=access,
        chat=ChatParts.of(services, access),
        compare=make_compare(services, access),
        board=board,
        train=make_train(services, access, board),
    )
