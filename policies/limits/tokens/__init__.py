"""How many tokens a call brings: counted where that is quick, bounded where it is not."""
