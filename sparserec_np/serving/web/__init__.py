"""What serves a model in a browser: a module of JavaScript, and the page and files around it."""
