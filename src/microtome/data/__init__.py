"""What is fed to a model: tasks, whose prompts have counterfactuals, and corpora of text."""
