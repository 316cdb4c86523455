"""How fast the suite is, measured beside what bounds it and beside the generic tools."""
