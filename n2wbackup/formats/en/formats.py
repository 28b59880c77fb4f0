"""How the admin shows times: like logs and the other pages, and always with the word UTC."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s e"
