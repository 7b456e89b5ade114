/// Finds the candidate that `word` was probably meant to be.
///
/// Case, `_`, `-` and `.` do not count, so `HostPort` finds `host_port`. Up to a third of the
/// letters may be wrong, missing, added or swapped with their neighbour. Of equally near candidates
/// the first wins. `word` itself is never suggested.
pub fn similar<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = letters(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == word {
            continue;
        }
        let other = self::letters(candidate);
        let allowed = letters.len().min(other.len()).div_ceil(3);
        // Words that differ in length by more than the limit cannot be within it.
        if letters.len().abs_diff(other.len()) > allowed {
            continue;
        }
        let distance = distance(&letters, &other);
        if distance <= allowed && best.is_none_or(|(nearest, _)| distance < nearest) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longer words are cut: nobody's typing error needs more, and the time is the product of lengths.
const MAX_LETTERS: usize = 64;

fn letters(word: &str) -> Vec<char> {
    word.chars()
        .filter(|letter| !matches!(letter, '_' | '-' | '.'))
        .flat_map(char::to_lowercase)
        .take(MAX_LETTERS)
        .collect()
}

/// Counts the insertions, deletions, replacements and swaps of neighbours between two words
/// (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut cost = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && *letter == right[column - 1] && left[row - 1] == *other;
            if swapped {
                cost = cost.min(before_last[column - 1] + 1);
            }
            current.push(cost);
        }
        before_last = last;
        last = current;
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: [&str; 6] =
        ["container_port", "host_port", "host_ip", "protocol", "image", "log_path"];

    #[test]
    fn finds_what_was_meant() {
        for (word, meant) in [
            ("hostprt", Some("host_port")),
            ("hostPort", Some("host_port")),
            ("HOST-PORT", Some("host_port")),
            ("hots_ip", Some("host_ip")),
            ("imgae", Some("image")),
            ("logpaht", Some("log_path")),
            ("prot", None),
            ("x", None),
            ("", None),
            ("readiness", None),
        ] {
            assert_eq!(similar(word, FIELDS), meant, "{word}");
        }
    }

    #[test]
    fn never_suggests_the_word_itself() {
        assert_eq!(similar("image", ["image"]), None);
        assert_eq!(similar("Image", ["image"]), Some("image"));
    }

    #[test]
    fn the_nearest_wins_then_the_first() {
        assert_eq!(similar("colour", ["dolour", "color", "colours"]), Some("dolour"));
        assert_eq!(similar("tesst", ["tests", "test"]), Some("tests"));
    }

    proptest! {
        #[test]
        fn distance_is_a_symmetric_measure(left in "[ab_]{0,12}", right in "[ab_]{0,12}") {
            let (left, right) = (letters(&left), letters(&right));
            let there = distance(&left, &right);
            prop_assert_eq!(there, distance(&right, &left));
            prop_assert_eq!(there == 0, left == right);
            prop_assert!(there >= left.len().abs_diff(right.len()));
            prop_assert!(there <= left.len().max(right.len()));
        }
    }
}
