"""The launcher: run scripts as accounts, for a server that is not root. docs/adr/0073 tells the choices.

It runs as root, so it is small, imports nothing but the standard library of Python 3.9, and nothing of the server.
"""

# Of what it and a server say to each other; scripts_admin/guard/launching.py has the server's. A server begins nothing
# with another version. The guards of a release before ask for a thaw all the same, so what they say is understood.
VERSION = 1
