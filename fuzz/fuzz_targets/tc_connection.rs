#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ramona_tc::fuzz::connection(data));
