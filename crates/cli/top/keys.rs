//! Keys, as terminals send them (xterm's control sequences). Pure.

/// A key that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A letter, digit or sign.
    Char(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Backspace,
    Escape,
    Tab,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Stop,
}

/// Control sequences, without the escape in front.
const SEQUENCES: [(&str, Key); 16] = [
    ("[A", Key::Up),
    ("[B", Key::Down),
    ("[C", Key::Right),
    ("[D", Key::Left),
    ("OA", Key::Up),
    ("OB", Key::Down),
    ("OC", Key::Right),
    ("OD", Key::Left),
    ("[5~", Key::PageUp),
    ("[6~", Key::PageDown),
    ("[H", Key::Home),
    ("[F", Key::End),
    ("[1~", Key::Home),
    ("[4~", Key::End),
    ("OH", Key::Home),
    ("OF", Key::End),
];

/// The keys of what was read at once. Sequences that mean nothing here are passed over.
pub(super) fn read(bytes: &[u8]) -> Vec<Key> {
    let text = String::from_utf8_lossy(bytes);
    let (mut rest, mut keys) = (text.as_ref(), Vec::new());
    while let Some(letter) = rest.chars().next() {
        rest = rest.strip_prefix(letter).unwrap_or_default();
        match letter {
            '\x1b' => {
                let (key, length) = sequence(rest);
                keys.extend(key);
                rest = rest.get(length..).unwrap_or_default();
            }
            '\x03' => keys.push(Key::Interrupt),
            '\x1a' => keys.push(Key::Stop),
            '\r' | '\n' => keys.push(Key::Enter),
            '\t' => keys.push(Key::Tab),
            '\x7f' | '\x08' => keys.push(Key::Backspace),
            letter if !letter.is_control() => keys.push(Key::Char(letter)),
            _ => {}
        }
    }
    keys
}

/// The key behind an escape, and how much of the text it takes.
fn sequence(rest: &str) -> (Option<Key>, usize) {
    if let Some((name, key)) = SEQUENCES.iter().find(|(name, _)| rest.starts_with(name)) {
        return (Some(*key), name.len());
    }
    match rest.strip_prefix('[') {
        // Some other key, up to the letter that ends it.
        Some(more) => {
            let end = more.find(|c: char| ('@'..='~').contains(&c));
            (None, end.map_or(rest.len(), |end| end + 2))
        }
        None => (Some(Key::Escape), 0),
    }
}
