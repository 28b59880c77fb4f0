"""The launcher: run scripts as accounts, for a server that is not root. docs/adr/0073 tells the choices.

It runs as root, so it is small, imports nothing but the standard library of Python 3.9, and nothing of the server.
"""

VERSION = 1
