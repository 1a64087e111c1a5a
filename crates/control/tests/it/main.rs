//! Tests of the control plane with real files, sockets and clients.
