//! Tests that need to see inside.

mod faults;
