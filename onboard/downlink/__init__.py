"""From chosen cells to bytes: products, their codec, and the queue that holds the best of them."""
