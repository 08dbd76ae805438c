"""The panels with the routes that their maps and pictures are fetched from."""

import streamlit as st

import ui  # noqa: F401  (sets how torch's threads wait, before torch is imported)
from ui.shell.routes import routes

app = st.App("panels.py", routes=routes())
