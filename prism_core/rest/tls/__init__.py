"""TLS on the listeners: a local authority, contexts of certificates, and their renewal."""
