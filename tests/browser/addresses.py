"""The pages that the demo and its company in the tests' database have, one of each kind."""

PAGES = (
    *(
        "/",
        "/policies/",
        "/policies/new/",
        "/policies/alice/orders/",
        "/policies/alice/orders/edit/",
    ),
    *("/policies/alice/orders/pause/", "/policies/alice/orders/test/", "/runs/", "/snapshots/"),
    *("/policies/alice/orders/retention/", "/policies/alice/billing/"),
    *("/recoveries/", "/proofs/", "/costs/", "/recovery-report/"),
    *(
        "/coverage/",
        "/coverage/rules/",
        "/schedules/",
        "/schedules/new/",
        "/schedules/alice/orders/",
    ),
    *("/accounts/", "/accounts/new/", "/accounts/alice/production/", "/alarms/", "/audit/"),
    *("/accounts/bob/production/ssm/", "/scripts/", "/scripts/alice/"),
    *("/scripts/alice/files/before_orders.sh/", "/scripts/alice/files/before_orders.sh/edit/"),
    *("/scripts/alice/keys/", "/scripts/alice/hosts/", "/people/", "/profile/", "/no/such/page/"),
)
