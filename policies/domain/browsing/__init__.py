"""The files of a snapshot, as people see and name them. Pure."""
