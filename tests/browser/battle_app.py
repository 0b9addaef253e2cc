"""The real app with a cast of scripted models, for blind battles."""

import os
import sys
from argparse import Namespace

from app import launch
from core.services import make_services
from core.settings import Settings
from tests.actors import with_actors

if __name__ == "__main__":
    services = with_actors(make_services(Settings.from_env(os.environ)))
    launch(services, Namespace(host="127.0.0.1", port=int(sys.argv[-1]), share=False))
