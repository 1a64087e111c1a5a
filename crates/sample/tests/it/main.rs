//! The commands over real sockets.
