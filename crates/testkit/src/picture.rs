//! What stands on a terminal after something was written to it.

/// Reads what crilet, and programs like it, write: letters, returns, and the control sequences that place
/// the cursor and erase (ECMA-48: CUP, CUU, ED, EL). Colours and modes change no letter.
pub(crate) fn picture(written: &str) -> String {
    let mut screen = Screen::default();
    let mut rest = written.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\x1b' => {
                if rest.as_str().starts_with('[') {
                    rest.next();
                    let arguments: String =
                        rest.clone().take_while(|letter| !('@'..='~').contains(letter)).collect();
                    let end = rest.nth(arguments.chars().count());
                    screen.obey(&arguments, end.unwrap_or_default());
                }
            }
            '\r' => screen.column = 0,
            '\n' => screen.row += 1,
            '\x08' => screen.column = screen.column.saturating_sub(1),
            letter if letter.is_control() => {}
            letter => screen.put(letter),
        }
    }
    let lines = screen.lines.iter().map(|line| line.iter().collect::<String>());
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[derive(Default)]
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// The line of the cursor, with something wherever it was not written yet.
    fn line(&mut self) -> &mut Vec<char> {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        let line = &mut self.lines[self.row];
        if line.len() < self.column {
            line.resize(self.column, ' ');
        }
        line
    }

    fn put(&mut self, letter: char) {
        let column = self.column;
        let line = self.line();
        match line.get_mut(column) {
            Some(place) => *place = letter,
            None => line.push(letter),
        }
        self.column += 1;
    }

    fn obey(&mut self, arguments: &str, end: char) {
        let mut numbers = arguments.split(';').map(|number| number.parse::<usize>().ok());
        let mut number = |without: usize| numbers.next().flatten().unwrap_or(without);
        match end {
            'H' => (self.row, self.column) = (number(1).max(1) - 1, number(1).max(1) - 1),
            'A' => self.row = self.row.saturating_sub(number(1).max(1)),
            'J' if number(0) == 2 => self.lines.clear(),
            'J' => {
                let (row, column) = (self.row, self.column);
                self.line().truncate(column);
                self.lines.truncate(row + 1);
            }
            'K' => {
                let column = self.column;
                self.line().truncate(column);
            }
            // Another screen, which is empty.
            'h' if arguments == "?1049" => self.lines.clear(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::picture;

    #[test]
    fn words_are_read_wherever_their_letters_were_written() {
        assert_eq!(picture("\x1b[?25l\x1b[2;1H/_\x1b[2;2H\x1b[1mhere_\x1b[0m"), "\n/here_\n");
        assert_eq!(picture("one\r\ntwo\x1b[1A\rO"), "One\ntwo\n");
        assert_eq!(picture("old\x1b[?1049hnew"), "   new\n");
        assert_eq!(picture("a\r\nb\r\nc\x1b[2;1H\x1b[J"), "a\n\n");
        assert_eq!(picture("word\x1b[1;2H\x1b[K"), "w\n");
        assert_eq!(picture("a\x1b[2Jb"), " b\n");
    }
}
