//! TLS under a certificate authority of the root's own.
