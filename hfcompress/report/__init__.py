"""What a run measured, for people: tables, Markdown, the Pareto plot. Pure on results; never imports torch."""
