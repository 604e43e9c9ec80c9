"""What keeps ledger and store honest over the years."""
