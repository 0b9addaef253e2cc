"""Composition root: settings, services, tabs, launch."""

import argparse
import os
import sys
from contextlib import closing

import gradio as gr

from core.errors import AppError, UnavailableError
from core.services import Services, make_services
from core.settings import PROJECT, Settings
from core.web import make_access, web_parts
from tabs.chat import build_chat_tab
from tabs.chat_page import ChatParts
from tabs.look import THEME, build_header


def build_app(parts: ChatParts) -> gr.Blocks:
    """Return the pages; no network, disk or model is touched."""
    app = gr.Blocks(title="Understudy", analytics_enabled=False, fill_width=True)
    with app:
        build_header(parts.access)
        with gr.Tab("Chat", id="chat"):
            build_chat_tab(parts)
    return app


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python app.py", description=__doc__)
    host, port = os.environ.get("GRADIO_SERVER_NAME"), os.environ.get("GRADIO_SERVER_PORT")
    parser.add_argument("--host", default=host or "127.0.0.1")
    parser.add_argument("--port", type=int, default=int(port or 7860))
    parser.add_argument("--share", action="store_true", help="make a public link for a while")
    return parser.parse_args()


def launch(services: Services, args: argparse.Namespace) -> None:
    """Serve the pages and the API on one port until interrupted."""
    access = make_access(services, is_shared=args.share)
    parts = ChatParts(
        traffic=services.gateway.traffic,
        chats=services.chats,
        conversations=services.conversations,
        access=access,
        is_persistent=services.settings.is_persistent,
    )
    try:
        build_app(parts).queue(max_size=64).launch(
            server_name=args.host,
            server_port=args.port,
            share=args.share,
            theme=THEME,
            css_paths=PROJECT / "assets" / "style.css",
            footer_links=[],
            ssr_mode=False,
            run_history=False,
            max_file_size="20mb",
            app_kwargs=web_parts(services, access),
        )
    except OSError as error:
        raise UnavailableError(f"port {args.port} is taken; choose another with --port") from error


def main() -> int:
    """Start; a reason for not starting is one line."""
    args = arguments()
    try:
        with closing(make_services(Settings.from_env(os.environ))) as services:
            launch(services, args)
    except AppError as error:
        sys.stderr.write(f"understudy: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
