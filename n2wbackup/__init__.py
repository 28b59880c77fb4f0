"""The server: settings, processes, and what its two apps share."""

VERSION = "0.2.0.dev0"
