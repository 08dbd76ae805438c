"""What the pages share: the frame, the controls, and the only homes of Streamlit's state and caches."""

import os

# Threads of torch that wait by spinning take a busy machine's cores from each other: a picture of 0.03 s then
# took 7. Set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
