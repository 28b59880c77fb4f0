"""The pages of logins and of one's own profile."""
