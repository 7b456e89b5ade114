//! A terminal by ANSI's control sequences, which all terminals of today know.

use std::io::{self, Write};

use ratatui::{
    backend::{Backend, ClearType, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
    style::{Color, Modifier},
};

/// Writes to a terminal; its size is that of standard output.
#[derive(Debug)]
pub(super) struct Ansi<W>(W);

impl<W: Write> Ansi<W> {
    pub(super) fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W: Write> Backend for Ansi<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut at = None;
        let mut style = None;
        for (x, y, cell) in content {
            if at != Some((x, y)) {
                self.set_cursor_position(Position { x, y })?;
            }
            if style != Some((cell.fg, cell.modifier)) {
                write!(self.0, "\x1b[0{}{}m", color(cell.fg), modifiers(cell.modifier))?;
                style = Some((cell.fg, cell.modifier));
            }
            self.0.write_all(cell.symbol().as_bytes())?;
            // Where the cursor is behind a wide letter is for the terminal to say.
            at = cell.symbol().is_ascii().then_some((x + 1, y));
        }
        self.0.write_all(b"\x1b[0m")
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.0.write_all(b"\x1b[?25l")
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.0.write_all(b"\x1b[?25h")
    }

    /// Nothing is drawn from where the cursor is.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        write!(self.0, "\x1b[{};{}H", u32::from(y) + 1, u32::from(x) + 1)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.0.write_all(match region {
            ClearType::All => b"\x1b[2J",
            ClearType::AfterCursor => b"\x1b[0J",
            ClearType::BeforeCursor => b"\x1b[1J",
            ClearType::CurrentLine => b"\x1b[2K",
            ClearType::UntilNewLine => b"\x1b[0K",
        })
    }

    fn size(&self) -> io::Result<Size> {
        let size = crate::terminal::size();
        Ok(size.map_or(Size::new(80, 24), |size| Size::new(size.width, size.height)))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The colours that the view uses.
fn color(color: Color) -> &'static str {
    match color {
        Color::Red => ";31",
        Color::Yellow => ";33",
        _ => "",
    }
}

fn modifiers(modifier: Modifier) -> String {
    let all = [(Modifier::BOLD, ";1"), (Modifier::DIM, ";2"), (Modifier::REVERSED, ";7")];
    all.into_iter().filter(|(one, _)| modifier.contains(*one)).map(|(_, code)| code).collect()
}
