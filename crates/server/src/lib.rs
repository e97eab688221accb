//! Python sessions that last, as a service: HTTP and WebSocket over the engine.
//!
//! ```text
//!              connection ─► guard ─► routes ──────► sessions: table, served, executions ─► engine
//!                                       │ ▲             ▲ keeper follows each session
//!                                       │ └─ streams ◄──┤ events
//!                                       └──► channel ◄──┘ (WebSocket)
//! ```
//!
//! [`Server`] starts and stops it all. `http` is what every request passes; `routes` has one file for each subject, from
//! which the OpenAPI document is made ([`openapi`]); `streams` sends events as they come, `channel` speaks the public protocol
//! over a WebSocket. [`requests`] makes requests of that protocol of a session's handle, here and for programs that embed the
//! engine.
//!
//! Nothing here reads the environment, the home directory or the terminal.

mod app;
mod channel;
mod claim;
mod clock;
mod http;
mod limits;
pub mod requests;
mod routes;
mod server;
mod sessions;
mod streams;
mod token;

pub use claim::HAND_OVER;
pub use limits::Limits;
pub use server::{Config, Server, Stop};
pub use token::Token;

/// The OpenAPI document (3.1) of the HTTP API, as JSON text with a newline at its end.
pub fn openapi() -> String {
    let mut text = serde_json::to_string_pretty(&routes::routes().1).unwrap_or_default();
    text.push('\n');
    text
}
