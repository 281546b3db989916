"""What the policy server tells about itself over HTTP (`server.admin`): health, metrics, and the table behind them."""
