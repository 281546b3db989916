"""What was spent, for people: bills in several formats, estimates, and comparison with what a provider invoices."""
