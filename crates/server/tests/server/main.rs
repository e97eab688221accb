//! The service: a real server on a real port or socket, real interpreters, plain HTTP and WebSockets.

mod channel;
mod events;
mod example;
mod executions;
mod guard;
mod hostile;
mod life;
mod openapi;
mod sessions;
mod state;
mod support;
