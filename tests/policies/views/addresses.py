"""Whose key stands for a part of an address, by the name of its row in the permission matrix."""

KEYS = {
    "<int:version_id>": "scriptversion",
    "<uuid:run_id>": "run",
    "<uuid:proof_id>": "proof",
    "<uuid:opened_id>": "openedsnapshot",
    "<uuid:host_id>": "sshhost",
    "<int:decision_id>": "leftout",
    "<int:key>": "copyrule",
    "<int:rule_id>": "enrolrule",
}
