"""How good conversions are: pairs, systems side by side, metrics, statistics and reports."""
