"""What a panel or a notebook shows: checked, frozen JSON made from results, never from a model."""
