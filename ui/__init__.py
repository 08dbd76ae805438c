"""What the pages share: the frame, the controls, and the only homes of Streamlit's state and caches."""
