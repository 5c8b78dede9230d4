"""Ways to reach the public listener. `lan` is built in; tunnels are plugins."""
