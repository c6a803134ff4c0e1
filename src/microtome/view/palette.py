"""Colours that everybody can tell apart: Okabe and Ito's eight, and matplotlib's maps of one lightness scale."""

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#999999"
SERIES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
EVEN, SIGNED = "cividis", "PuOr"  # from low to high; about zero
