//! The table of keys for people.

use std::fmt::Write;

use super::{Config, KEYS, Key};

/// Columns of a line in the example.
const WIDTH: usize = 96;

/// `docs/config.md`.
pub fn document() -> String {
    let mut text = String::from(HEAD);
    for key in KEYS {
        let default = default(key).map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"));
        let change = if key.live { "at a reload" } else { "at a restart" };
        // Writing to a string cannot fail.
        write!(
            text,
            "\n### `{}`\n\nTakes {}. Without: {default}. Changes {change}.\n\n{}\n",
            key.path, key.takes, key.doc
        )
        .unwrap_or_default();
    }
    text
}

const HEAD: &str = "\
# Configuration of `crilet serve`

The daemon reads `/etc/crilet/config.yaml`, or the file that `--config` names. Everything in it can be left out; a file that
is not there is one without keys. `crilet install` writes one in which every key is commented out.

A key that is not on this page, a value of another kind or keys that contradict each other are refused with file, line and
column, and the daemon does not start. Flags of `crilet serve` go before the file.

`systemctl reload crilet`, or SIGHUP, reads the file again. Keys that change at a reload hold at once; for the others the
daemon says that it needs a restart. A file that cannot be used changes nothing. Certificates, keys and tokens are read again,
too. Pods run on during a restart of the daemon.

Times are written `500ms`, `30s`, `5m`, `1h` or `7d`.

A test keeps this page as the code is.

## Keys
";

fn default(key: &Key) -> Option<String> {
    (key.show)(&Config::default())
}

/// A file in which every key is commented out, with its value without the file or an example.
pub fn example() -> String {
    let mut text = String::from(EXAMPLE_HEAD);
    let mut section: Vec<&str> = Vec::new();
    for key in KEYS {
        let parts: Vec<&str> = key.path.split('.').collect();
        let (name, parents) = parts.split_last().unwrap_or((&"", &[]));
        let shared = section.iter().zip(parents).take_while(|(one, other)| one == other).count();
        text.push('\n');
        for (depth, parent) in parents.iter().enumerate().skip(shared) {
            writeln!(text, "#{}{parent}:", "  ".repeat(depth)).unwrap_or_default();
        }
        section = parents.to_vec();
        let indent = "  ".repeat(parents.len());
        for line in wrap(key.doc, WIDTH - indent.len()) {
            writeln!(text, "#{indent}# {line}").unwrap_or_default();
        }
        let value = default(key).unwrap_or_else(|| key.example.to_owned());
        writeln!(text, "#{indent}{name}: {value}").unwrap_or_default();
    }
    text
}

const EXAMPLE_HEAD: &str = "\
# Configuration of `crilet serve`. Every key is commented out and shows what holds without it, or an
# example. Take away the first `#` of a line, and of the lines of the sections around it, to set a
# key; then `systemctl reload crilet`.
";

/// Breaks a text into lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|line| {
            !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width
        });
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
