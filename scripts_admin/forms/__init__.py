"""Forms of users: their logins, their profile, and the admin's."""
