//! Connections: HTTPS, and plain HTTP on request.
