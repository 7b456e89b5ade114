//! Colours, where a terminal is there to show them.

use crate::{connect, output};

/// How a word is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// All is well.
    Good,
    /// Somebody may want to look.
    Mild,
    /// Somebody should look.
    Bad,
}

impl Paint {
    /// A word in this colour.
    pub(crate) fn on(self, word: &str) -> String {
        let color = match self {
            Self::Good => 32,
            Self::Mild => 33,
            Self::Bad => 31,
        };
        format!("\x1b[{color}m{word}\x1b[0m")
    }
}

/// Whether what goes to stdout may have colours: a person looks at it and wants them.
pub(crate) fn wanted() -> bool {
    output::is_terminal() && connect::wants_color()
}

/// A table some of whose cells have colours, by their column and their text.
pub(crate) fn table(
    header: &[&str],
    rows: &[Vec<String>],
    paint: impl Fn(usize, &str) -> Option<Paint>,
) -> String {
    if !wanted() {
        return output::table(header, rows);
    }
    painted(header, rows, paint)
}

fn painted(
    header: &[&str],
    rows: &[Vec<String>],
    paint: impl Fn(usize, &str) -> Option<Paint>,
) -> String {
    let plain = output::table(header, rows);
    let mut lines = plain.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (line, row) in lines.zip(rows) {
        text.push_str(&paint_line(line, row, &paint));
        text.push('\n');
    }
    text
}

/// Cells stand in a line in their order, so each is looked for behind the one before.
fn paint_line(line: &str, row: &[String], paint: &impl Fn(usize, &str) -> Option<Paint>) -> String {
    let (mut text, mut rest) = (String::new(), line);
    for (column, cell) in row.iter().enumerate() {
        let Some((before, after)) = rest.split_once(cell.as_str()) else { continue };
        text.push_str(before);
        match paint(column, cell) {
            Some(paint) if !cell.is_empty() => text.push_str(&paint.on(cell)),
            _ => text.push_str(cell),
        }
        rest = after;
    }
    text + rest
}

/// A line that takes no more than so many columns; colours take none.
pub(crate) fn cut(line: &str, width: usize) -> String {
    let (mut text, mut shown, mut colored) = (String::new(), 0, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            text.push(letter);
            let rest = letters.by_ref();
            for letter in rest {
                text.push(letter);
                if letter.is_ascii_alphabetic() {
                    break;
                }
            }
            colored = true;
            continue;
        }
        if shown == width {
            if colored {
                text.push_str("\x1b[0m");
            }
            break;
        }
        text.push(letter);
        shown += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_column() {
        let rows = [vec!["a".to_owned(), "bad".to_owned(), "x".to_owned()]];
        let paint = |column, cell: &str| (column == 1 && cell == "bad").then_some(Paint::Bad);
        let shown = painted(&["NAME", "STATE", "X"], &rows, paint);
        assert_eq!(shown, "NAME  STATE  X\na     \x1b[31mbad\x1b[0m    x\n");
    }

    #[test]
    fn lines_are_cut_between_letters_and_colours_end() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("a\x1b[31mbcd\x1b[0m", 2), "a\x1b[31mb\x1b[0m");
        assert_eq!(cut("\x1b[31mab\x1b[0m", 2), "\x1b[31mab\x1b[0m");
    }
}
