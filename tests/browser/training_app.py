"""The real app with training workers that are scripted: they write events and train nothing."""

import os
import sys
from dataclasses import replace

from app import build_app
from core.services import make_services
from core.settings import Settings
from core.web import make_access, web_parts
from tabs.look import LOOK
from tabs.pages import make_pages
from tabs.train_version_download import download_route
from tests.training.jobs_supervisor import scripted_jobs

if __name__ == "__main__":
    settings = Settings.from_env(os.environ)
    services = make_services(settings)
    access = make_access(services, is_shared=False)
    pages = make_pages(services, access)
    jobs = scripted_jobs(settings, services.store)
    pages = replace(pages, train=replace(pages.train, jobs=jobs))
    build_app(pages).queue(max_size=64).launch(
        server_name="127.0.0.1",
        server_port=int(sys.argv[-1]),
        **LOOK,
        app_kwargs=web_parts(services, access, [download_route(pages.train)]),
    )
