"""What `make app` runs: the pages and our own HTTP routes; what takes seconds to import or load is fetched while the first browser is on its way."""

import gc
import threading

import streamlit as st
from starlette.middleware import Middleware

import ui  # noqa: F401  (sets how torch's threads wait, before torch is imported)
from ui.shell.guard import Guard, keep_streamlit_offline, new_login, server_names
from ui.shell.routes import routes


def warm_up() -> None:
    """Import torch and load the default network, so that the first picture waits for neither; go on with jobs that wait; last, the Map's library."""
    from core.engine.loaded import load
    from core.models import default_reconstructor
    from core.viz.regional import map_class
    from ui.shell import jobs, weights

    load(default_reconstructor())
    weights.remove_leftovers()
    jobs.keep()
    map_class()
    freeze_imports()


def freeze_imports() -> None:
    """Exempt what is in memory now from garbage collection.

    Streamlit collects every generation after each run of a page. Looking through the objects of torch and the other libraries took 0.3 s of
    processor time, more than everything else that a move of a slider needs.
    """
    import ui.mask_lab.lab
    import ui.mask_lab.sections  # noqa: F401  (what the Mask Lab imports when it is first opened)

    gc.collect()
    gc.freeze()


keep_streamlit_offline()
threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
guard = Middleware(Guard, names=server_names(), login=new_login())
app = st.App("app.py", routes=routes(), middleware=[guard])
