"""Whether the journal, the ledger and the counters of the limits say the same, and where they do not."""
