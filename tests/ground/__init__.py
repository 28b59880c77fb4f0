"""The test ground: real servers and file systems. Each is a context manager that ends everything it started.

`sshd.running`, `mariadb.running`, `postgresql.running`, `valkey.running`, `filesystems.xfs` and
`filesystems.ext4` start on free ports and in their own folders, and so does `redis.running`;
`scripts.run` runs a script like the engine. Nothing here needs Django. `components` reports what the
machine lacks.
"""
