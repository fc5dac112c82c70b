"""Training of one encoder with a head for each task: ``run.train`` trains a run, ``predictor.Predictor`` predictions with the result."""
