"""What every contestant asks of AWS: one CreateSnapshots, described and tagged as the product does it."""

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
