#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ramona::config::fuzz::ini(data));
