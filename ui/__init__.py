"""What the pages share: the frame, the controls, and the only homes of Streamlit's state and caches."""

import os

# Torch threads that spin while they wait compete for the cores of a busy machine: an image that takes 0.03 s
# then took 7 s. Set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
