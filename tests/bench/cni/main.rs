//! Measures crilet's network plugins beside Debian's, called as a runtime calls them.
//!
//! The outer run makes a host for each number of pods that are there already, and starts this
//! program again inside it. Both makers take turns within one loop. `CRILET_CNI` may name another
//! program than the one that was built with the bench, such as the static one. `--rounds N` gives
//! every contender other than 15 turns, `--pods N...` measures with that many pods only.

mod calls;
mod containerd;
mod crowd;
mod flows;
#[path = "../mapped.rs"]
mod mapped;
mod raw;
#[path = "../report.rs"]
mod report;

use std::{env, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use crilet_testkit::Host;

use calls::{Maker, Pod};
use report::Times;

/// Set when this program runs inside the host: pods that are to be there, or [`CONTAINERD`].
const INSIDE: &str = "CRILET_BENCH_INSIDE";
const CONTAINERD: &str = "containerd";
const PROGRAM: &str = "CRILET_CNI";
const OURS: &str = "/opt/crilet/cni";
const DEBIAN: &str = "/usr/lib/cni";
const PLUGINS: [&str; 4] = ["bridge", "host-local", "portmap", "loopback"];
const CROWDS: [usize; 2] = [0, 1000];
const ROUNDS: usize = 15;
/// Pods that are attached at the same time.
const TOGETHER: usize = 20;
const BOUND: Duration = Duration::from_secs(600);
/// The kernel takes a removed link apart in the background; the next turn must not pay.
const SETTLING: Duration = Duration::from_millis(100);

fn main() -> Result<ExitCode> {
    let rounds = rounds()?;
    match env::var(INSIDE) {
        Ok(part) if part == CONTAINERD => containerd::measure(rounds)?,
        Ok(pods) => inside(pods.parse()?, rounds)?,
        Err(_) => {
            let chosen = crowds()?;
            let crowds = chosen.as_deref().unwrap_or(&CROWDS);
            crowds.iter().try_for_each(|pods| on_a_host(*pods, rounds))?;
            if chosen.is_none() {
                containerd::on_a_host(rounds)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The words after `flag` up to the next flag; `None` without that flag.
fn after(flag: &str) -> Option<Vec<String>> {
    let mut words = env::args().skip_while(|word| word != flag);
    words.next()?;
    Some(words.take_while(|word| !word.starts_with('-')).collect())
}

/// Turns of every contender.
fn rounds() -> Result<usize> {
    let Some(words) = after("--rounds") else { return Ok(ROUNDS) };
    let word = words.first().context("--rounds needs a number")?;
    word.parse().with_context(|| format!("--rounds {word}"))
}

/// How many pods are to be there, when that was chosen.
fn crowds() -> Result<Option<Vec<usize>>> {
    let number =
        |word: &String| word.parse().with_context(|| format!("`{word}` is no number of pods"));
    after("--pods").map(|words| words.iter().map(number).collect()).transpose()
}

fn program() -> String {
    env::var(PROGRAM).unwrap_or_else(|_| env!("CARGO_BIN_EXE_crilet-cni").to_owned())
}

/// Puts crilet's plugins on the host.
fn install(host: &Host) -> Result<()> {
    let program = program();
    let links = PLUGINS.map(|name| format!("ln -s {OURS}/crilet-cni {OURS}/{name}\n")).concat();
    host.shell(&format!("mkdir -p {OURS}\ncp {program} {OURS}/crilet-cni\n{links}")).success()?;
    Ok(())
}

/// Starts this program again inside a host.
fn again(host: &Host, part: &str, rounds: usize) -> Result<String> {
    let inside = host.command(env::current_exe()?).args(["--rounds", &rounds.to_string()]);
    inside.env(INSIDE, part).bound(BOUND).success()
}

fn on_a_host(pods: usize, rounds: usize) -> Result<()> {
    let host = Host::start()?;
    let size = Path::new(&program()).metadata().context("the program of the plugins")?.len();
    install(&host)?;
    let said = again(&host, &pods.to_string(), rounds)?;
    report::print(&format!(
        "{pods} pods with a mapped port are there; the program has {size} bytes\n{said}"
    ));
    host.stop()
}

fn inside(pods: usize, rounds: usize) -> Result<()> {
    crowd::make(pods)?;
    let makers = [("crilet", Maker(OURS)), ("debian", Maker(DEBIAN))];
    chain(&makers, 1, rounds)?;
    // Between Debian's turns, what crilet's plugins have seen of the others is void each time.
    chain(&makers[..1], 1, rounds)?;
    raw::measure(rounds)?;
    // Debian's ten ports at a thousand pods take seconds, and show nothing new.
    chain(if pods > 0 { &makers[..1] } else { &makers[..] }, 10, rounds)?;
    leases(&makers, pods, rounds)?;
    for (name, maker) in &makers {
        together(name, *maker)?;
    }
    if pods == 0 {
        versions(&makers, rounds)?;
        flows::measure(&makers, rounds)?;
    }
    Ok(())
}

/// bridge with host-local, then portmap; then both away.
fn chain(makers: &[(&str, Maker)], ports: u16, rounds: usize) -> Result<()> {
    let mut times: Vec<[Times; 6]> = makers.iter().map(|_| Default::default()).collect();
    for round in 0..=rounds {
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
    let how = if makers.len() > 1 { "in turns" } else { "alone" };
    let names = ["bridge ADD", "portmap ADD", "portmap DEL", "bridge DEL", "ADD", "DEL"];
    for (index, what) in names.into_iter().enumerate() {
        let of = |maker: usize| times.get(maker).and_then(|times| times.get(index));
        tell(&format!("{what}, {ports} port(s), {how}"), of(0), of(1));
    }
    Ok(())
}

/// host-local alone; where there are leases, crilet's also in a network without any, in the same
/// turns.
fn leases(makers: &[(&str, Maker)], pods: usize, rounds: usize) -> Result<()> {
    let mut crowded: Vec<[Times; 2]> = makers.iter().map(|_| Default::default()).collect();
    let mut empty: [Times; 2] = Default::default();
    for round in 0..=rounds {
        for ((_, maker), times) in makers.iter().zip(&mut crowded) {
            lease(*maker, "bench", round, times)?;
        }
        if let (Some((_, maker)), true) = (makers.first(), pods > 0) {
            lease(*maker, "empty", round, &mut empty)?;
        }
    }
    for (index, what) in ["host-local ADD", "host-local DEL"].into_iter().enumerate() {
        let of = |maker: usize| crowded.get(maker).and_then(|times| times.get(index));
        tell(what, of(0), of(1));
        if let (Some(crowded), Some(empty), true) = (of(0), empty.get(index), pods > 0) {
            let (own, over) = (empty.summary(), crowded.over(empty));
            report::print(&format!("{what}, no lease       crilet {own}   {pods} leases {over}"));
        }
    }
    Ok(())
}

fn lease(maker: Maker, network: &str, round: usize, [adds, dels]: &mut [Times; 2]) -> Result<()> {
    let pod = Pod::new(round, 8000, 0)?;
    // Not the first call after somebody else's: each maker changes the store in its turns.
    let warm = Pod::new(round + 1000, 8000, 0)?;
    let mut config = pod.bridge(None);
    config["name"] = network.into();
    maker.call("host-local", "ADD", &warm, &config)?;
    let add = maker.call("host-local", "ADD", &pod, &config)?.0;
    let del = maker.call("host-local", "DEL", &pod, &config)?.0;
    maker.call("host-local", "DEL", &warm, &config)?;
    if round > 0 {
        adds.push(add);
        dels.push(del);
    }
    pod.remove()?;
    warm.remove()
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

fn versions(makers: &[(&str, Maker)], rounds: usize) -> Result<()> {
    let mut times: Vec<Times> = makers.iter().map(|_| Times::default()).collect();
    let pod = Pod::new(0, 8000, 0)?;
    for _ in 0..rounds * 3 {
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
    report::print(&format!("{what:31} crilet {}{beside}", ours.summary()));
}

fn tell_raw(what: &str, times: &Times) {
    report::print(&format!("{what:31} raw    {}", times.summary()));
}
