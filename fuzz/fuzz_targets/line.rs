//! A line of a log, and the time in it.
#![no_main]

use crilet_log::format::{parse, parse_time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Some(record) = parse(line) {
        assert!(line.starts_with(record.time));
        assert!(line.ends_with(record.content));
        parse_time(record.time);
    }
    parse_time(line);
});
