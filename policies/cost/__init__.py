"""What exchanges use and cost, as metrics: by tenant, by model, and by tags of your own."""
