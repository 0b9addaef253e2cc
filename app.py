"""Composition root: settings, services, tabs, launch."""

import argparse
import os
import sys
from contextlib import closing

import gradio as gr

from core.errors import AppError, UnavailableError
from core.services import Services, make_services
from core.settings import Settings
from core.web import make_access, web_parts
from tabs.chat import build_chat_tab
from tabs.chat_page import ChatParts
from tabs.leaderboard import build_leaderboard_tab
from tabs.leaderboard_page import LeaderboardParts
from tabs.leaderboard_parts import make_leaderboard
from tabs.look import LOOK, build_header


def build_app(chat: ChatParts, board: LeaderboardParts) -> gr.Blocks:
    """Return the pages; no network, disk or model is touched."""
    app = gr.Blocks(title="Understudy", analytics_enabled=False, fill_width=True)
    with app:
        build_header(chat.access)
        with gr.Tabs() as tabs:
            with gr.Tab("Chat", id="chat"):
                build_chat_tab(chat)
            with gr.Tab("Leaderboard", id="leaderboard"):
                build_leaderboard_tab(board, tabs)
    return app


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python app.py", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1")
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT") or 7860)
    parser.add_argument("--share", action="store_true", help="make a public link for a while")
    return parser.parse_args()


def launch(services: Services, args: argparse.Namespace) -> None:
    """Serve the pages and the API on one port until interrupted."""
    access = make_access(services, is_shared=args.share)
    board = make_leaderboard(services, access)
    try:
        build_app(ChatParts.of(services, access), board).queue(max_size=64).launch(
            server_name=args.host,
            server_port=args.port,
            share=args.share,
            **LOOK,
            ssr_mode=False,
            run_history=False,
            max_file_size="20mb",
            app_kwargs=web_parts(services, access),
        )
    except OSError as error:
        raise UnavailableError(f"port {args.port} is taken; choose another with --port") from error
    finally:
        board.panel.runs.close()


def main() -> int:
    """Start; a reason for not starting is one line."""
    args = arguments()
    try:
        with closing(make_services(Settings.from_env(os.environ))) as services:
            services.place_models()
            launch(services, args)
    except AppError as error:
        sys.stderr.write(f"understudy: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
