"""What knows neither digits nor Paddle."""
