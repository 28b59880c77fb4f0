"""The test ground: real servers and file systems, each a context manager that ends what it started.

`sshd.running`, `mariadb.running`, `postgresql.running`, `valkey.running`, `filesystems.xfs` and
`filesystems.ext4` start on free ports and in folders of their own, and so does `redis.running`;
`scripts.run` runs a script the way the engine does. Nothing of it needs Django. What the machine
lacks goes through `components`.
"""
