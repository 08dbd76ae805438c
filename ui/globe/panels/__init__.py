"""The panels beside the map, one module each; `tabs` draws the open one."""
