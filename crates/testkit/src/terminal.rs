use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    pty::openpty,
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};

use crate::{
    command::{Run, kill as kill_inside, number, wait_for},
    picture::picture,
    wait::wait_until,
};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

/// A program that has a terminal, as a person would run it.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// The program's end, so that its settings can be looked at when it has ended.
    line: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Run<'_> {
    /// Starts the program on a terminal of its own, which controls it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn on_terminal(self, rows: u16, columns: u16) -> Result<Terminal> {
        let pty = openpty(None, None).context("open a terminal")?;
        let keyboard = File::from(pty.master);
        set_size(&keyboard, rows, columns)?;
        let mut command = self.through(&["setsid", "--ctty", "--wait"]).command(false);
        let end = || pty.slave.try_clone().map(Stdio::from);
        command.stdin(end()?).stdout(end()?).stderr(end()?);
        let child = command.spawn().context("start a program on a terminal")?;
        let screen = Arc::<Mutex<Vec<u8>>>::default();
        let (mut from, shown) = (keyboard.try_clone()?, Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Reading fails once nobody has the other end any more.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.extend(bytes.get(..read).unwrap_or_default());
            }
        });
        Ok(Terminal { child, keyboard, line: pty.slave, screen })
    }
}

impl Terminal {
    /// All that was shown so far.
    #[must_use]
    pub fn screen(&self) -> String {
        let shown = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// What stands on it now, as a person would see it: lines without blanks at their ends.
    ///
    /// A program that draws only what has changed may never write a word at once that is there to be read.
    #[must_use]
    pub fn picture(&self) -> String {
        picture(&self.screen())
    }

    /// Waits until a text was shown.
    ///
    /// # Errors
    ///
    /// When it is not within two minutes: with what was.
    pub fn expect(&self, text: &str) -> Result<()> {
        wait_until(text, BOUND, || {
            let screen = self.screen();
            if screen.contains(text) { Ok(()) } else { Err(screen) }
        })
    }

    /// Presses keys.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes()).context("press keys")
    }

    /// Makes it another size, which the program is told.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        set_size(&self.keyboard, rows, columns)
    }

    /// Whether keys are passed on as they are, without echo and without lines.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn is_raw(&self) -> Result<bool> {
        let settings = tcgetattr(&self.line)?;
        Ok(!settings.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO))
    }

    /// Waits until the program stands still, and lets it go on, as a shell's `fg` does.
    ///
    /// # Errors
    ///
    /// When it does not stand still within two minutes: with its state.
    pub fn go_on(&self) -> Result<()> {
        // `nsenter` stands still with its child, and lets that go on when it goes on itself.
        let path = format!("/proc/{}/stat", self.child.id());
        wait_until("a program that stands still", BOUND, || {
            let stat = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            if stat.contains(") T ") { Ok(()) } else { Err(stat) }
        })?;
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, Signal::SIGCONT).context("let a program go on")
    }

    /// Waits for the program's end, and for all that it has written, and gives its status.
    ///
    /// # Errors
    ///
    /// When it does not end within two minutes: with what was shown.
    pub fn end(&mut self) -> Result<i32> {
        let status = wait_for(&mut self.child, BOUND).with_context(|| self.screen())?;
        self.read_to_here().context("read the last words from a terminal")?;
        Ok(number(status))
    }

    /// Waits until all that was written is in the screen, which the kernel hands over in its own time: a
    /// mark is written behind it, and taken away when it has come.
    fn read_to_here(&self) -> Result<()> {
        const MARK: &[u8] = b"\x01the end\x01";
        File::from(self.line.try_clone()?).write_all(MARK)?;
        wait_until("the end of a terminal's output", BOUND, || {
            let mut shown = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            let at = shown.windows(MARK.len()).position(|window| window == MARK);
            let at = at.ok_or_else(|| String::from_utf8_lossy(&shown).into_owned())?;
            shown.drain(at..at + MARK.len());
            Ok(())
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It ends with its host in any case.
        drop(kill_inside(&mut self.child));
    }
}

fn set_size(terminal: &File, rows: u16, columns: u16) -> Result<()> {
    let mut stty = Command::new("stty");
    stty.args(["rows", &rows.to_string(), "cols", &columns.to_string()]);
    let status = stty.stdin(terminal.try_clone()?).status().context("run stty")?;
    ensure!(status.success(), "stty: {status}");
    Ok(())
}
