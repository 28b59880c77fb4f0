"""A database with years of work in it: a million runs, ten thousand policies, two hundred users, in minutes.

`python -m tests.bench.history [--runs N] [--policies N] [--users N]` fills the empty database of
`DATABASE_URL` (else the one in `N2W_HOME`). It is no command of the product: what fills a database with
backups that never were has no place on a server.
"""
