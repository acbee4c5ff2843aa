"""Everyone who judges: judgements, what comes next, consensus, exchange."""
