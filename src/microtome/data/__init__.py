"""What is fed to a model: tasks with counterfactuals, and neutral prompts."""
