"""The request of every contestant to AWS: one CreateSnapshots with the product's description and tags."""

REGION = "us-east-1"
DESCRIPTION = "n2wbackup bench/one run 00000000-0000-0000-0000-000000000000"
TAGS = {
    "Name": "bench/one i-00000000000000000",
    "n2wbackup:server": "00000000-0000-0000-0000-000000000000",
    "n2wbackup:run": "00000000-0000-0000-0000-000000000000",
    "n2wbackup:policy": "one",
    "n2wbackup:owner": "bench",
    "n2wbackup:consistency": "pending",
}
