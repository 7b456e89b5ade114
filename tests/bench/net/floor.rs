//! The raw calls: entering each pod's namespace and asking the kernel for its links, addresses, routes and
//! sockets, without reading what it says.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::PathBuf,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use crilet_cni::netfilter::{Filter, Message};
use nix::sched::{CloneFlags, setns};

/// RTM_GETLINK, RTM_GETADDR and RTM_GETROUTE, with the lengths of their headers.
const LISTS: [(u16, usize); 3] = [(18, 16), (22, 8), (26, 12)];
/// SOCK_DIAG_BY_FAMILY for sockets that wait: family, protocol, states.
const SOCKETS: [(u8, u8, u32); 4] =
    [(2, 6, 1 << 10), (10, 6, 1 << 10), (2, 17, 1 << 7), (10, 17, 1 << 7)];
const BY_FAMILY: u16 = 20;
const REQUEST: usize = 56;

/// Time that all pods take, with so many threads.
pub(crate) fn pods(threads: usize) -> Result<Duration> {
    let begin = Instant::now();
    let mut paths = Vec::new();
    for entry in fs::read_dir("/run/netns")? {
        paths.push(entry?.path());
    }
    let queue = Mutex::new(paths);
    let asked = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&queue))).collect();
        let mut asked = 0;
        for thread in threads {
            asked += thread.join().map_err(|_| anyhow!("a thread died"))??;
        }
        Ok::<_, anyhow::Error>(asked)
    })?;
    let time = begin.elapsed();
    ensure!(asked > 0, "there are no pods");
    Ok(time)
}

fn work(queue: &Mutex<Vec<PathBuf>>) -> Result<usize> {
    let mut asked = 0;
    loop {
        let next = queue.lock().map_err(|_| anyhow!("a thread died"))?.pop();
        let Some(path) = next else { return Ok(asked) };
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
        ask()?;
        asked += 1;
    }
}

fn ask() -> Result<()> {
    let routes = Filter::routes()?;
    for (list, header) in LISTS {
        routes.ask_whole(Message::plain(list, &vec![0; header]), |_, _| {})?;
    }
    let sockets = Filter::sockets()?;
    for (family, protocol, states) in SOCKETS {
        let mut body = vec![family, protocol, 0, 0];
        body.extend(states.to_ne_bytes());
        body.resize(REQUEST, 0);
        sockets.ask_whole(Message::plain(BY_FAMILY, &body), |_, _| {})?;
    }
    Ok(())
}
