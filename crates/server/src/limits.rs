//! What clients may ask of the server: sizes, times, numbers. Everything that comes from outside is held against one of these.

use std::time::Duration;

/// Limits of one server. All of them have a default that fits a machine of its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once. More wait to be accepted.
    pub connections: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Bytes of one request's body.
    pub body: usize,
    /// Bytes of all bodies that are being read or worked on.
    pub bodies: usize,
    /// Bytes of one WebSocket message.
    pub message: usize,
    /// Requests of one WebSocket that may be unanswered.
    pub unanswered: usize,
    /// Time for the head of a request, from its first byte or the end of the one before.
    pub head_time: Duration,
    /// Time for the body of a request.
    pub body_time: Duration,
    /// The longest that a request waits for its answer: for its turn in the session, and for what it asks for.
    pub request_time: Duration,
    /// Between two signs of life on a stream that has nothing to say.
    pub keep_alive: Duration,
    /// How long a client may take nothing of what is sent to it before it is dropped.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 4096,
            sessions: 4096,
            body: 64 << 20,
            bodies: 256 << 20,
            message: 64 << 20,
            unanswered: 1000,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            request_time: Duration::from_secs(3600),
            keep_alive: Duration::from_secs(15),
            stall: Duration::from_secs(20),
        }
    }
}
