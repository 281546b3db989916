"""Records in the formats of others. Each module has `export(records, out)`; it needs no more memory for more records."""
