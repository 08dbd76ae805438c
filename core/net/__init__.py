"""Internet access: the switch that allows it, the client for requests, and resumable downloads."""
