"""What is worth having: accuracy, search algorithms, studies and Pareto fronts."""
