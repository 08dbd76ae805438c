"""Evaluate models on image sets: protocols, baselines, confidence intervals and recipes. Needs no torch.

`plan.EvaluationPlan` says what to evaluate, `running.evaluate` yields a `results.Result` for each number,
and every result carries the `recipes.EvaluationRecipe` that reproduces it. Networks come in through the
protocol `subjects.Subject`.
"""
