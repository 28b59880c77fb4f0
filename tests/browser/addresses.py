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
    *(
        "/coverage/",
        "/coverage/rules/",
        "/schedules/",
        "/schedules/new/",
        "/schedules/alice/orders/",
    ),
    *("/accounts/", "/accounts/new/", "/accounts/alice/production/", "/alarms/", "/audit/"),
    *("/people/", "/profile/", "/no/such/page/"),
)
