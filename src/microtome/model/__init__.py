"""Opening a network, its sites, running it, editing it, freezing it, and the certificate."""
