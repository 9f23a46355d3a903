#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ramona_http::fuzz::http(data));
