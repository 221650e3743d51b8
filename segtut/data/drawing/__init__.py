"""How a street scene is drawn: the stage, the light, what stands there, what moves, the finish."""
