"""What every entry of a registry has to pass, ours and other packages' alike: one battery a kind."""
