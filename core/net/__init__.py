"""The only access to the internet: the switch that allows it, the client for requests, and downloads."""
