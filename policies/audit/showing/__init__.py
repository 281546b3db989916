"""What people see of the journal: filters, lines, stories, verdicts, and the commands that print them."""
