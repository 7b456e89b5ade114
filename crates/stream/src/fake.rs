//! A command in memory, for tests of whoever carries sessions.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    Ending, Input, Output, Session, Streams, Terminal,
    pipe::{Command, QUEUE, Tasks},
    status,
};

/// Channels of the fake command's input and of its terminal's size.
const STDIN: u32 = 0;
const RESIZE: u32 = 4;

/// A command that writes what it reads, says `size …` on standard error when its terminal changes, and
/// ends with this code when its input does.
pub fn echo(streams: Streams, code: u8) -> Session {
    let (commands, mut orders) = mpsc::channel(QUEUE);
    let (out, stdout) = mpsc::channel(QUEUE);
    let (err, stderr) = mpsc::channel(QUEUE);
    let (end, ending) = mpsc::channel(QUEUE);
    let working = tokio::spawn(async move {
        while let Some(command) = orders.recv().await {
            // Nobody listening is the test's own doing.
            match command {
                Command::Data(STDIN, data) => drop(out.send(data).await),
                Command::Data(_, size) => {
                    let words = [b"size ".as_slice(), &size].concat();
                    drop(err.send(Bytes::from(words)).await);
                }
                Command::Close(_) | Command::Raw(_) => break,
            }
        }
        drop(end.send(Bytes::from(status::write(code))).await);
    });
    let tasks = Arc::new(Tasks(vec![working.abort_handle()]));
    let input = |channel| Input::channel(channel, commands.clone(), true, Arc::clone(&tasks));
    let output = |chunks| Output::channel(chunks, Arc::clone(&tasks));
    Session {
        stdin: streams.stdin.then(|| input(STDIN)),
        stdout: streams.stdout.then(|| output(stdout)),
        stderr: streams.stderr.then(|| output(stderr)),
        terminal: streams.tty.then(|| Terminal(input(RESIZE))),
        ending: Ending(output(ending)),
    }
}
