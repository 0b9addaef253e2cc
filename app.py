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
from tabs.compare import build_compare_tab
from tabs.leaderboard import build_leaderboard_tab
from tabs.look import LOOK, build_header
from tabs.pages import Pages, make_pages
from tabs.streams import Page
from tabs.train import build_train_tab


def build_app(pages: Pages) -> gr.Blocks:
    """Return the pages; no network, disk or model is touched."""
    with (app := Page(title="Understudy", analytics_enabled=False, fill_width=True)):
        build_header(pages.access)
        with gr.Tabs() as tabs:
            with gr.Tab("Chat", id="chat"):
                build_chat_tab(pages.chat)
            with gr.Tab("Compare", id="compare"):
                build_compare_tab(pages.compare, tabs)
            with gr.Tab("Leaderboard", id="leaderboard"):
                build_leaderboard_tab(pages.board, tabs)
            with gr.Tab("Train", id="train"):
                build_train_tab(pages.train, tabs)
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
    with closing(make_pages(services, access)) as pages:
        try:
            build_app(pages).queue(max_size=64).launch(
                server_name=args.host,
                server_port=args.port,
                share=args.share,
                **LOOK,
                app_kwargs=web_parts(services, access, pages.routes),
            )
        except OSError as error:
            reason = f"port {args.port} is taken; choose another with --port"
            raise UnavailableError(reason) from error


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
