//! Names and comments by which plugins find their rules again, letter for letter those of the
//! reference plugins.

use sha2::{Digest, Sha512};

/// Longest comment of iptables, in bytes; the reference cuts two bytes before and adds dots.
const COMMENT: usize = 253;

/// The first `length` letters of the SHA-512 of a text, in hexadecimal.
pub(crate) fn hash(text: &str, length: usize) -> String {
    let digest = Sha512::digest(text.as_bytes());
    let letters = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    letters.filter_map(|digit| char::from_digit(digit.into(), 16)).take(length).collect()
}

/// The chain that masquerades what a pod sends out of its network.
pub fn masquerade_chain(network: &str, container: &str) -> String {
    format!("CNI-{}", hash(&format!("{network}{container}"), 24))
}

/// The chain of a pod's host ports.
pub fn dnat_chain(network: &str, container: &str) -> String {
    format!("CNI-DN-{}", hash(&format!("{network}{container}"), 21))
}

/// The chain that plugins before 0.7 had beside that; it is only ever removed.
pub(crate) fn snat_chain(network: &str, container: &str) -> String {
    format!("CNI-SN-{}", hash(&format!("{network}{container}"), 21))
}

/// The link by which `bandwidth` limits what a container sends.
pub(crate) fn limiting_link(network: &str, container: &str) -> String {
    format!("bwp{}", hash(&format!("{network}{container}"), 12))
}

/// The comment `name: "NETWORK" id: "CONTAINER"`.
pub(crate) fn comment(network: &str, container: &str) -> String {
    format!("name: \"{network}\" id: \"{container}\"")
}

/// The comment on the rule that leads to a pod's host ports.
pub(crate) fn dnat_comment(network: &str, container: &str) -> String {
    cut(format!("dnat {}", comment(network, container)))
}

/// A comment that iptables takes.
fn cut(comment: String) -> String {
    // Names and ids are ASCII, so bytes are letters.
    match comment.get(..COMMENT) {
        Some(kept) if comment.len() > COMMENT => format!("{kept}..."),
        _ => comment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the reference plugins 1.1.1 for a network `net` and a container `one`.
    #[test]
    fn chains_are_named_as_the_reference_names_them() {
        assert_eq!(masquerade_chain("net", "one").len(), 28);
        assert_eq!(dnat_chain("net", "one").len(), 28);
        let whole = hash("netone", 128);
        assert_eq!(whole.len(), 128);
        assert_eq!(masquerade_chain("net", "one"), format!("CNI-{}", whole.get(..24).unwrap()));
    }

    #[test]
    fn a_long_comment_is_cut() {
        let comment = dnat_comment("net", &"c".repeat(300));
        assert_eq!(comment.len(), 256);
        assert!(comment.ends_with("c..."), "{comment}");
        assert_eq!(dnat_comment("n", "i"), r#"dnat name: "n" id: "i""#);
    }
}
