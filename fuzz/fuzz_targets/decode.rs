//! Whatever bytes come from a client or a worker: frames, an error, or more to come, never a panic, and a decoded
//! message encodes to what decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyrepl3_protocol::frame::Decoder;
use pyrepl3_protocol::{Message, worker::Event};

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut decoder = Decoder::new(1 << 20);
    for piece in pieces {
        decoder.feed(&piece);
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Err(_) => return,
                Ok(Some(json)) => {
                    _ = Event::from_json(json);
                    if let Ok(message) = Message::from_json(json) {
                        if let Ok(once) = message.to_json() {
                            let again = Message::from_json(&once).expect("what was encoded decodes");
                            assert_eq!(once, again.to_json().expect("and encodes"));
                        }
                    }
                }
            }
        }
    }
});
