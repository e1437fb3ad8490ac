#![no_main]

#[path = "../judge.rs"]
#[allow(dead_code)] // the other targets'
mod judge;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| judge::protobuf(bytes));
