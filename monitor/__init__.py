"""What a person touches: the command line, the dashboard, and the processes behind them."""
