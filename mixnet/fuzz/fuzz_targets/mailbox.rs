#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mixnet::fuzzing::mailbox(data));
