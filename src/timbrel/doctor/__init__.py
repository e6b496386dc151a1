"""`timbrel doctor`: why a conversion sounds wrong, the most likely cause first."""
