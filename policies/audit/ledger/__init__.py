"""The ledger: one row in SQL for each exchange, and one for each event, kept from the journal; what is asked of them."""
