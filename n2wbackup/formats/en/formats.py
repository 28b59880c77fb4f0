"""How the admin writes times: as logs and the other pages do, and never without saying that they are UTC."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s e"
