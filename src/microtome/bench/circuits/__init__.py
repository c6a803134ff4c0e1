"""Circuits as a suite: methods that look for one, and nulls, held against networks whose circuit is known."""
