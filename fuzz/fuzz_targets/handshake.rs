#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ramona_rtmp::fuzz::handshake(data));
