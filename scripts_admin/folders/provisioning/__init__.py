"""Linux accounts for the people whose scripts run here: made, checked, shown and locked."""
