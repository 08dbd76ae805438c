"""The server of `make app`: pages and HTTP routes. Slow imports load while the first browser connects."""

import threading
from importlib import import_module

import streamlit as st
from starlette.middleware import Middleware

from core.untrusted import share_among
from ui.shell.guard import Guard, keep_streamlit_offline, new_login, server_names
from ui.shell.routes import asking_session, routes
from ui.shell.session_lock import share_session_locks
from ui.shell.style import StyledHead


def warm_up() -> None:
    """Load what the first picture and upload need; then start waiting jobs, and import the map library."""
    from core.engine.loaded import load
    from core.geo.sources import untrusted
    from core.models import default_reconstructor
    from core.viz.regional import map_class
    from ui.shell import job_queue, weights
    from ui.shell.garbage import settle_memory

    load(default_reconstructor())
    untrusted.warm_up()
    weights.remove_leftovers()
    job_queue.start_queue()
    map_class()
    import_module("ui.mask_lab.sections")  # what the Mask Lab imports when it is first opened
    settle_memory()


keep_streamlit_offline()
share_session_locks()
share_among(asking_session)
threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
guard = Middleware(Guard, names=server_names(), login=new_login())
app = st.App("app.py", routes=routes(), middleware=[guard, Middleware(StyledHead)])
