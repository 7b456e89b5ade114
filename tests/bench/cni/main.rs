//! Measures crilet's network plugins beside Debian's, called as a runtime calls them.
//!
//! The outer run makes a host for each number of pods that are there already, and starts this
//! program again inside it. Both makers take turns within one loop. `CRILET_CNI` may name another
//! program than the one that was built with the bench, such as the static one.

mod calls;
mod crowd;
#[path = "../report.rs"]
mod report;

use std::{env, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use crilet_testkit::Host;

use calls::{Maker, Pod};
use report::Times;

/// Set when this program runs inside the host: pods that are to be there.
const INSIDE: &str = "CRILET_BENCH_INSIDE";
const PROGRAM: &str = "CRILET_CNI";
const OURS: &str = "/opt/crilet/cni";
const DEBIAN: &str = "/usr/lib/cni";
const CROWDS: [usize; 2] = [0, 1000];
const ROUNDS: usize = 15;
/// Pods that are attached at the same time.
const TOGETHER: usize = 20;
const BOUND: Duration = Duration::from_secs(600);
/// The kernel takes a removed link apart in the background; the next turn must not pay.
const SETTLING: Duration = Duration::from_millis(100);

fn main() -> Result<ExitCode> {
    match env::var(INSIDE) {
        Ok(pods) => inside(pods.parse()?)?,
        Err(_) => crowds()?.into_iter().try_for_each(on_a_host)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How many pods are to be there: the numbers after `--pods`, or all that are usual.
fn crowds() -> Result<Vec<usize>> {
    let mut words = env::args().skip_while(|word| word != "--pods").skip(1).peekable();
    if words.peek().is_none() {
        return Ok(CROWDS.to_vec());
    }
    let number =
        |word: String| word.parse().with_context(|| format!("`{word}` is no number of pods"));
    words.take_while(|word| !word.starts_with('-')).map(number).collect()
}

fn on_a_host(pods: usize) -> Result<()> {
    let program = env::var(PROGRAM).unwrap_or_else(|_| env!("CARGO_BIN_EXE_crilet-cni").to_owned());
    let host = Host::start()?;
    let size = Path::new(&program).metadata().context("the program of the plugins")?.len();
    let links = ["bridge", "host-local", "portmap", "loopback"]
        .map(|name| format!("ln -s {OURS}/crilet-cni {OURS}/{name}\n"));
    let script = format!("mkdir -p {OURS}\ncp {program} {OURS}/crilet-cni\n{}", links.concat());
    host.shell(&script).success()?;
    let inside = host.command(env::current_exe()?).env(INSIDE, pods.to_string()).bound(BOUND);
    let said = inside.success()?;
    report::print(&format!(
        "{pods} pods with a mapped port are there; the program has {size} bytes\n{said}"
    ));
    host.stop()
}

fn inside(pods: usize) -> Result<()> {
    crowd::make(pods)?;
    let makers = [("crilet", Maker(OURS)), ("debian", Maker(DEBIAN))];
    for ports in [1, 10] {
        // Debian's ten ports at a thousand pods take seconds, and show nothing new.
        let all = if ports == 10 && pods > 0 { &makers[..1] } else { &makers[..] };
        chain(all, ports)?;
    }
    leases(&makers)?;
    for (name, maker) in &makers {
        together(name, *maker)?;
    }
    if pods == 0 {
        versions(&makers)?;
    }
    Ok(())
}

/// bridge with host-local, then portmap; then both away.
fn chain(makers: &[(&str, Maker)], ports: u16) -> Result<()> {
    let mut times: Vec<[Times; 6]> = makers.iter().map(|_| Default::default()).collect();
    for round in 0..=ROUNDS {
        for ((_, maker), times) in makers.iter().zip(&mut times) {
            let pod = Pod::new(round, 8000, ports)?;
            let (bridge_add, result) = maker.call("bridge", "ADD", &pod, &pod.bridge(None))?;
            let (portmap_add, _) = maker.call("portmap", "ADD", &pod, &pod.portmap(&result))?;
            let (portmap_del, _) = maker.call("portmap", "DEL", &pod, &pod.portmap(&result))?;
            let (bridge_del, _) = maker.call("bridge", "DEL", &pod, &pod.bridge(Some(&result)))?;
            pod.remove()?;
            // The first turn makes what all pods share.
            if round > 0 {
                let parts = [bridge_add, portmap_add, portmap_del, bridge_del];
                let sums = [bridge_add + portmap_add, portmap_del + bridge_del];
                for (times, time) in times.iter_mut().zip(parts.into_iter().chain(sums)) {
                    times.push(time);
                }
            }
        }
    }
    let names = ["bridge ADD", "portmap ADD", "portmap DEL", "bridge DEL", "ADD", "DEL"];
    for (index, what) in names.into_iter().enumerate() {
        let of = |maker: usize| times.get(maker).and_then(|times| times.get(index));
        tell(&format!("{what}, {ports} port(s)"), of(0), of(1));
    }
    Ok(())
}

fn leases(makers: &[(&str, Maker)]) -> Result<()> {
    let mut times: Vec<[Times; 2]> = makers.iter().map(|_| Default::default()).collect();
    for round in 0..=ROUNDS {
        for ((_, maker), [adds, dels]) in makers.iter().zip(&mut times) {
            let pod = Pod::new(round, 8000, 0)?;
            // Not the first call after somebody else's: each maker changes the store in its turns.
            let warm = Pod::new(round + 1000, 8000, 0)?;
            maker.call("host-local", "ADD", &warm, &pod.bridge(None))?;
            adds.push(maker.call("host-local", "ADD", &pod, &pod.bridge(None))?.0);
            dels.push(maker.call("host-local", "DEL", &pod, &pod.bridge(None))?.0);
            maker.call("host-local", "DEL", &warm, &pod.bridge(None))?;
            pod.remove()?;
            warm.remove()?;
        }
    }
    for (index, what) in ["host-local ADD", "host-local DEL"].into_iter().enumerate() {
        let of = |maker: usize| times.get(maker).and_then(|times| times.get(index));
        tell(what, of(0), of(1));
    }
    Ok(())
}

/// Wall time of all pods at once, the median of three.
fn together(name: &str, maker: Maker) -> Result<()> {
    let (mut adds, mut dels) = (Times::default(), Times::default());
    for _ in 0..3 {
        let numbers = 0..TOGETHER;
        let pods = numbers
            .map(|number| Pod::new(number, 9000 + u16::try_from(number)?, 1))
            .collect::<Result<Vec<_>>>()?;
        let (time, results) = calls::at_once(&pods, |pod| {
            let (_, result) = maker.call("bridge", "ADD", pod, &pod.bridge(None))?;
            maker.call("portmap", "ADD", pod, &pod.portmap(&result))?;
            Ok(result)
        })?;
        adds.push(time);
        let pairs: Vec<_> = pods.iter().zip(&results).collect();
        let (time, _) = calls::at_once(&pairs, |(pod, result)| {
            maker.call("portmap", "DEL", pod, &pod.portmap(result))?;
            maker.call("bridge", "DEL", pod, &pod.bridge(Some(result)))
        })?;
        dels.push(time);
        pods.into_iter().try_for_each(Pod::remove)?;
    }
    report::print(&format!(
        "{TOGETHER} pods at once, {name}: ADD {}, DEL {}",
        adds.summary(),
        dels.summary()
    ));
    Ok(())
}

fn versions(makers: &[(&str, Maker)]) -> Result<()> {
    let mut times: Vec<Times> = makers.iter().map(|_| Times::default()).collect();
    let pod = Pod::new(0, 8000, 0)?;
    for _ in 0..ROUNDS * 3 {
        for ((_, maker), times) in makers.iter().zip(&mut times) {
            times.push(maker.call("bridge", "VERSION", &pod, &pod.bridge(None))?.0);
        }
    }
    tell("VERSION", times.first(), times.get(1));
    pod.remove()
}

fn tell(what: &str, ours: Option<&Times>, debian: Option<&Times>) {
    let Some(ours) = ours else { return };
    let beside = debian.map_or_else(String::new, |debian| {
        let (ratio, over) = (debian.median() / ours.median(), debian.over(ours));
        format!("   debian {}   x{ratio:.1}, {over}", debian.summary())
    });
    report::print(&format!("{what:24} crilet {}{beside}", ours.summary()));
}
