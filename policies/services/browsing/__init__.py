"""The files of snapshots: opened as a disk, looked at, downloaded, copied to an instance, and closed again."""
