//! Ids of sandboxes and containers. The CRI leaves their form to the runtimes.

/// Whether this is an id to its end, as containerd and CRI-O make them: 64 hexadecimal digits
/// (containerd's pkg/cri/util/id.go, CRI-O's stringid).
pub fn is_full_id(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(is_digit)
}
